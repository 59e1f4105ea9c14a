"""manage.py audit_verify: is the log what was sealed, and nothing else?"""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.core.management.base import CommandParser

from auditing.management.commands.audit_log import moment
from auditing.models import VerifyFinding
from auditing.services.audit_verify import audit_verify_start
from operations.commands import CustodyCommand, Result
from operations.models import Run
from operations.runs.present import run_json
from operations.runs.states import RunState
from operations.services.run_to_end import run_to_end


class Command(CustodyCommand):
    help = (
        "Verifies the audit log: blocks, signatures, anchors, each row against what was sealed of "
        "it, live rows against their last versions, and that changes are still captured. Names "
        "what it finds; exit code 1 when it finds anything. Changes nothing."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--since", metavar="TIME", help="only what was sealed since, as 2026-11-25 14:00"
        )
        parser.add_argument("--table", metavar="TABLE", help="only this audited table's part")
        parser.add_argument("--user", metavar="NAME", help="the console user who asks")
        parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the record")

    def work(self, **options: Any) -> Result:
        run = audit_verify_start(
            requester=self.actor(options),
            reason=options["reason"],
            since=moment(options["since"], "--since"),
            table=options["table"],
        )
        told = _Told(self, options)
        with self.run_progress(options, "audit_verify") as bar:

            def progress(run: Run) -> None:
                told.more(run)
                bar(run)

            run = run_to_end(run=run, on_progress=progress)
        told.more(run)
        return _result(run, told, options)


class _Told:
    """Findings are printed as they come: there may be more than fit in memory."""

    def __init__(self, command: CustodyCommand, options: dict[str, Any]) -> None:
        self._command, self._json = command, bool(options["json"])
        self._last = 0
        self._kinds: Counter[str] = Counter()

    def more(self, run: Run) -> None:
        found = VerifyFinding.objects.filter(run_id=run.pk, pk__gt=self._last).order_by("id")
        for each in found.iterator():
            self._last = each.pk
            self._kinds[each.get_kind_display()] += 1
            if not self._json:
                self._command.stdout.write(f"{each.get_kind_display()}: {each.text}")

    @property
    def count(self) -> int:
        return self._kinds.total()

    @property
    def summary(self) -> str:
        kinds = "; ".join(f"{kind}: {count:,}" for kind, count in self._kinds.items())
        return f"{self.count:,} finding{'' if self.count == 1 else 's'}. {kinds}."


MOST_IN_JSON = 10_000


def _result(run: Run, told: _Told, options: dict[str, Any]) -> Result:
    found = VerifyFinding.objects.filter(run_id=run.pk).select_related("tracked")
    document = {
        "run": run_json(run),
        "verified": run.result,
        "findings": [_json(each) for each in found.order_by("id")[:MOST_IN_JSON]]
        if options["json"]
        else [],
    }
    if run.current is not RunState.SUCCEEDED:
        said = f"Run {run.pk} is {run.current.label.lower()}. {run.error}".strip()
        return Result(document, [], 1, said)
    result = run.result
    text: list[Any] = [
        f"{result['blocks']:,} blocks and {result['checked']:,} rows were verified."
        + (f" {result['pending']:,} rows are not sealed yet." if result["pending"] else "")
    ]
    if result["retired"]:
        text.append(f"{result['retired']:,} sealed rows were retired, with a certificate.")
    if result["unproved"]:
        text.append(
            f"{result['unproved']:,} were taken away by runs that are not over and have no "
            "certificate yet."
        )
    text += result["remarks"]
    if told.count:
        return Result(document, text, 1, told.summary)
    return Result(document, [*text, "Nothing was altered, removed or added."])


def _json(each: VerifyFinding) -> dict[str, Any]:
    return {
        "kind": each.kind,
        "table": str(each.tracked) if each.tracked else None,
        "source": each.source,
        "record_id": each.record_id,
        "number": each.number,
        "block": each.block,
        "text": each.text,
    }

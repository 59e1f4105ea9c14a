"""manage.py evidence_export --from TIME --to TIME [--table TABLE] [--record KEY] --out FILE"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from auditing.management.commands.audit_log import moment
from auditing.services.evidence_export import evidence_export
from operations.commands import CustodyCommand, Result
from operations.exceptions import UsageError
from operations.models import Run
from operations.runs.present import run_json, run_line
from operations.runs.states import RunState


class Command(CustodyCommand):
    help = (
        "Exports versions with the proof that nobody altered them: one zip with verify_evidence.py "
        "in it, for whoever has to believe the log without believing us. Exit code 1 when "
        "something in it is not what was sealed."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", dest="since", metavar="TIME", help="versions from then on")
        parser.add_argument("--to", dest="until", metavar="TIME", help="versions before this")
        parser.add_argument(
            "--table",
            action="append",
            metavar="TABLE",
            help="of this table only; several times for several (all audited ones)",
        )
        parser.add_argument("--record", metavar="KEY", help="of this record of the one table only")
        parser.add_argument(
            "--out", type=Path, metavar="FILE", help="the zip (kept in the storage without it)"
        )

    def work(self, **options: Any) -> Result:
        if options["dry_run"]:
            raise UsageError("An export changes nothing: there is nothing to show first.")
        if not options["reason"]:
            raise UsageError("Say what it is for, and for whom: --reason TEXT. It is on record.")
        with self.run_progress(options, "evidence_export") as bar:
            run = evidence_export(
                since=moment(options["since"], "--from"),
                until=moment(options["until"], "--to"),
                tables=options["table"],
                record=options["record"],
                requester=self.actor(options),
                reason=options["reason"],
                out=options["out"].absolute() if options["out"] else None,
                on_progress=bar,
            )
        return _result(run, options["out"])


def _result(run: Run, out: Path | None) -> Result:
    done = run.result
    document: dict[str, Any] = {"run": run_json(run), "evidence": {**done, "out": out and str(out)}}
    text: list[Any] = [run_line(run)]
    if run.current is not RunState.SUCCEEDED:
        said = f"Run {run.pk} is {run.current.label.lower()}. {run.error}".strip()
        return Result(document, text, 1, said)
    certificates = f", {len(done['certificates'])} certificates" if done["certificates"] else ""
    text += [
        f"{done['versions']:,} version{'' if done['versions'] == 1 else 's'}, proved by "
        f"{done['blocks']:,} blocks{certificates}: "
        + (str(out) if out else f"{done['file']} in the storage, until {done['kept_until'][:10]}"),
        f"SHA-256 {done['sha256']}",
        f"Signed with the key {done['key_id']}: manage.py key_list prints its fingerprint.",
    ]
    text += [
        f"Complete: every version of {source} that blocks {first:,} to {last:,} seal."
        for source, first, last in done["complete"]
    ]
    if done["altered"]:
        text += [f"Not what was sealed: {each}" for each in done["altered"]]
        said = "Some of it is not what was sealed, and the verifier will say so: see above."
        return Result(document, text, 1, said)
    return Result(document, text)

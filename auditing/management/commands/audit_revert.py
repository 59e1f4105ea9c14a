"""manage.py audit_revert --statement N | --transaction N"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from auditing.services.change_revert import change_revert, reverted_so_far
from auditing.services.revert_plan import Chosen
from auditing.services.revert_rehearse import revert_rehearse
from auditing.services.statement_summarise import statement_summarise
from operations.commands import CustodyCommand, Result, text_table
from operations.exceptions import Refused
from operations.models import Run
from operations.runs.present import run_json, run_line
from operations.runs.states import RunState

_SHOWN = 20


class Command(CustodyCommand):
    help = (
        "Undoes a statement, or all of a transaction: inserted rows go, deleted ones come back, "
        "changed columns get their values of before. What was changed since is shown as a "
        "conflict and stays. Above 1,000 rows another person approves."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--statement", type=int, metavar="N", help="as audit_log numbers it")
        which.add_argument(
            "--transaction", type=int, metavar="N", help="as audit_log --json has it"
        )
        parser.add_argument(
            "--wait", action="store_true", help="wait for approval where it is needed"
        )

    def work(self, **options: Any) -> Result:
        chosen = Chosen(options["statement"], options["transaction"])
        statement_summarise()
        actor = self.actor(options)
        with self.run_progress(options, "audit_revert") as bar:
            if options["dry_run"]:
                found = revert_rehearse(
                    chosen=chosen,
                    actor=actor,
                    on_rows=lambda done, total: bar.amount(str(chosen), done, total),
                )
                return _rehearsed(chosen, found)
            run = change_revert(
                chosen=chosen,
                requester=actor,
                reason=options["reason"],
                wait=options["wait"],
                on_progress=bar,
            )
        return _result(run)


def _rehearsed(chosen: Chosen, found: dict[str, Any]) -> Result:
    said = f"Would be what it was before {chosen}: {_counted(found)}"
    text: list[Any] = [said]
    if not found["tried"]:
        text.append("Constraints and triggers show only when the rows go back.")
    document = {"dry_run": True, "reverts": str(chosen), **found}
    return _with_conflicts(document, [*text, *_conflicts(found), "Nothing was changed."], found)


def _result(run: Run) -> Result:
    found = reverted_so_far(run)
    document: dict[str, Any] = {"run": run_json(run), **found}
    text: list[Any] = [run_line(run)]
    if run.current is RunState.AWAITING_APPROVAL:
        return Result(document, text)
    text.append(f"Is what it was before: {_counted(found)}")
    text += _conflicts(found)
    if run.current is not RunState.SUCCEEDED:
        said = f"Run {run.pk} is {run.current.label.lower()}. {run.error}".strip()
        return Result(document, text, 1, said)
    return _with_conflicts(document, text, found)


def _counted(found: dict[str, Any]) -> str:
    rows = f"{found['reverted']:,} row{'' if found['reverted'] == 1 else 's'}"
    return f"{rows}. Already so: {found['already']:,}. In the way: {found['conflict_count']:,}."


def _conflicts(found: dict[str, Any]) -> list[Any]:
    if not found["conflicts"]:
        return []
    rows = [[each["table"], each["record_id"], each["why"]] for each in found["conflicts"][:_SHOWN]]
    text: list[Any] = [text_table("table", "row", "what is in its way", rows=rows)]
    more = found["conflict_count"] - len(rows)
    return [*text, f"... and {more:,} more."] if more else text


def _with_conflicts(document: dict[str, Any], text: list[Any], found: dict[str, Any]) -> Result:
    if not found["conflict_count"]:
        return Result(document, text)
    count = found["conflict_count"]
    said = f"{count:,} row{' stays' if count == 1 else 's stay'} as changed since: see above."
    return Result(document, text, Refused.exit_code, said)

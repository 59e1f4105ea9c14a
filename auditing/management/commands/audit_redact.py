"""manage.py audit_redact TABLE --column COL [--column ...] --key KEY | --where CONDITION"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from auditing.services.audit_redact import AuditRedact, audit_redact
from auditing.services.redact_plan import Wanted, redact_plan
from operations.commands import CustodyCommand, Result
from operations.models import Run
from operations.runs.kinds import Plan
from operations.runs.present import run_json, run_line
from operations.runs.states import RunState


class Command(CustodyCommand):
    help = (
        "Takes values out of the audit history for ever: of the columns named, in all versions of "
        "the records chosen. The log still verifies. Another person approves (run_approve); holds "
        "are honoured; a certificate says what went and what remains."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", metavar="TABLE", help="NAME or SCHEMA.NAME")
        parser.add_argument(
            "--column",
            action="append",
            required=True,
            metavar="COL",
            help="its name now, or when it was dropped; can be given again",
        )
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "--key",
            action="append",
            default=[],
            metavar="KEY",
            help="all versions of this record, those under former and later keys too; again",
        )
        which.add_argument(
            "--where",
            default="",
            metavar="CONDITION",
            help="all versions of the records of which any version meets it: \"email = 'a@b.c'\"",
        )
        parser.add_argument(
            "--vacuum-full",
            action="store_true",
            help="write each touched table anew, as far as two seconds are enough for it",
        )
        parser.add_argument("--wait", action="store_true", help="wait for approval")

    def work(self, **options: Any) -> Result:
        wanted = Wanted(
            table=options["table"],
            columns=tuple(options["column"]),
            keys=tuple(options["key"]),
            where=options["where"],
            vacuum_full=options["vacuum_full"],
        )
        if options["dry_run"]:
            return _planned(redact_plan(wanted, using="default"))
        with self.run_progress(options, "audit_redact") as bar:
            run = audit_redact(
                wanted=wanted,
                requester=self.actor(options),
                reason=options["reason"],
                wait=options["wait"],
                on_progress=bar,
            )
        return _result(run) if run else _nothing(wanted)


def _planned(plan: Plan) -> Result:
    document = {"dry_run": True, "plan": plan.facts, "total": plan.total}
    lines: list[Any] = [f"  {line}" for line in AuditRedact.plan_lines(plan.facts)]
    said = f"Would redact {plan.total:,} versions of {plan.subject}:"
    return Result(document, [said, *lines, "Nothing was changed."])


def _nothing(wanted: Wanted) -> Result:
    columns = ", ".join(wanted.columns)
    said = f"No version of these records of {wanted.table} has a value in {columns}."
    return Result({"run": None}, [f"{said} There is nothing to redact."])


def _result(run: Run) -> Result:
    document = {"run": run_json(run)}
    text: list[Any] = [run_line(run)]
    if run.current is RunState.AWAITING_APPROVAL:
        text += [f"  {line}" for line in AuditRedact.plan_lines(run.plan)]
        return Result(document, text)
    if run.current is not RunState.SUCCEEDED:
        said = f"Run {run.pk} is {run.current.label.lower()}. {run.error}".strip()
        return Result(document, text, 1 if run.current is RunState.FAILED else 3, said)
    found = run.result
    text.append(
        f"{found['values']:,} values of {', '.join(found['columns'])} are gone from "
        f"{found['versions']:,} versions of {found['table']}. Certificate {found['certificate']}."
    )
    text += [f"Still to do: {each}" for each in found["space"].get("left", [])]
    return Result(document, text)

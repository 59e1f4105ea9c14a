"""manage.py run_approve RUN ... --user OTHER"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result
from operations.models import Run
from operations.run_commands import (
    approver_asked,
    confirmation_asked,
    each_decided,
    ended_badly,
    plan_lines,
    runs_result,
)
from operations.selectors.runs import run_get
from operations.services.run_approve import run_approve_and_execute


class Command(CustodyCommand):
    help = (
        "The second pair of eyes says yes: another person than the requester lets runs go. One "
        "that is a single short step, such as a policy's new terms, is carried out at once."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("runs", nargs="+", metavar="RUN")

    def work(self, **options: Any) -> Result:
        runs = [run_get(number) for number in options["runs"]]
        if options["dry_run"]:
            return runs_result(runs, dry_run=True)
        shown = [line for run in runs for line in plan_lines(run)]
        approver = approver_asked(options, self.stderr, shown)
        after: list[Run] = []

        def approve(run: Run) -> Run:
            after.append(
                run_approve_and_execute(
                    run_id=run.pk,
                    approver=approver,
                    reason=options["reason"],
                    confirm=confirmation_asked(run),
                )
            )
            return after[-1]

        return ended_badly(each_decided(runs, approve), after)

"""manage.py run_refuse RUN ... --user OTHER"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result
from operations.run_commands import approver_asked, each_decided, plan_lines, runs_result
from operations.selectors.runs import run_get
from operations.services.runs import run_refuse


class Command(CustodyCommand):
    help = "The second pair of eyes says no: the runs are cancelled."
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("runs", nargs="+", metavar="RUN")

    def work(self, **options: Any) -> Result:
        runs = [run_get(number) for number in options["runs"]]
        if options["dry_run"]:
            return runs_result(runs, dry_run=True)
        shown = [line for run in runs for line in plan_lines(run)]
        approver = approver_asked(options, self.stderr, shown)
        reason = options["reason"]
        return each_decided(
            runs, lambda run: run_refuse(run_id=run.pk, approver=approver, reason=reason)
        )

"""manage.py run_refuse RUN --user OTHER"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result
from operations.run_commands import approver_asked, plan_lines, runs_result
from operations.selectors.runs import run_get
from operations.services.runs import run_refuse


class Command(CustodyCommand):
    help = "The second pair of eyes says no: the run is cancelled."
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN")

    def work(self, **options: Any) -> Result:
        run = run_get(options["run"])
        if options["dry_run"]:
            return runs_result([run], dry_run=True)
        approver = approver_asked(options, self.stderr, plan_lines(run))
        return runs_result([run_refuse(run_id=run.pk, approver=approver, reason=options["reason"])])

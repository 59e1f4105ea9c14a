"""manage.py run_resume RUN ..."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result
from operations.run_commands import each_decided, runs_result
from operations.selectors.runs import run_get
from operations.services.runs import run_resume


class Command(CustodyCommand):
    help = "Queues a paused or failed run again; it goes on from where it was. A worker takes it."
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("runs", nargs="+", metavar="RUN")

    def work(self, **options: Any) -> Result:
        runs = [run_get(number) for number in options["runs"]]
        if options["dry_run"]:
            return runs_result(runs, dry_run=True)
        actor = self.actor(options)
        return each_decided(
            runs, lambda run: run_resume(run_id=run.pk, actor=actor, reason=options["reason"])
        )

"""manage.py run_pause RUN ... | --all"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from operations.commands import CustodyCommand, Result
from operations.models import Run
from operations.run_commands import each_decided, runs_result
from operations.runs.exceptions import TransitionRefused
from operations.runs.states import RunState
from operations.selectors.runs import run_get, run_list
from operations.services.runs import run_pause


class Command(CustodyCommand):
    help = "Pauses runs after the step under way."
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("runs", nargs="*", metavar="RUN")
        parser.add_argument("--all", action="store_true", help="every queued or running run")

    def work(self, **options: Any) -> Result:
        if bool(options["runs"]) == options["all"]:
            raise CommandError("Name the runs, or say --all.", returncode=2)
        if options["all"]:
            states = (RunState.QUEUED, RunState.RUNNING)
            runs = list(run_list(open_only=True).filter(state__in=states))
        else:
            runs = [run_get(number) for number in options["runs"]]
        if options["dry_run"]:
            return runs_result(runs, dry_run=True)
        actor = self.actor(options)

        def pause(run: Run) -> Run:
            try:
                return run_pause(run_id=run.pk, actor=actor, reason=options["reason"])
            except TransitionRefused:
                if not options["all"]:
                    raise
                # It ended, or somebody else paused it, a moment ago.
                return run_get(run.pk)

        return each_decided(runs, pause)

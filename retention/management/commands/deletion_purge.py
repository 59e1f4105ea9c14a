"""manage.py deletion_purge DELETION"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result
from operations.exceptions import Refused
from operations.runs.present import run_json
from operations.runs.states import RunState
from retention.purge_answers import run_told
from retention.services.deletion_purge import (
    DeletionPurge,
    deletion_purge,
    deletion_purge_preview,
)


class Command(CustodyCommand):
    help = (
        "Destroys what is in the bin of one deletion, before its grace is over. Another person has "
        "to approve it; a hold keeps it; it is archived first if the policy of its table says so."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("deletion", type=int, metavar="DELETION")
        parser.add_argument(
            "--wait", action="store_true", help="wait for another person's approval"
        )

    def work(self, **options: Any) -> Result:
        if options["dry_run"]:
            plan = deletion_purge_preview(deletion_id=options["deletion"])
            text: list[Any] = [*DeletionPurge.plan_lines(plan.facts), "Nothing was changed."]
            return Result({"dry_run": True, "plan": plan.facts}, text)
        actor = self.actor(options)
        with self.run_progress(options, "purge") as bar:
            run = deletion_purge(
                deletion_id=options["deletion"],
                actor=actor,
                reason=options["reason"],
                wait=options["wait"],
                on_progress=bar,
            )
        document = {"run": run_json(run), "deletion": options["deletion"]}
        text = [run_told(run)]
        if run.current is RunState.CANCELLED:
            return Result(document, text, Refused.exit_code, f"{run} was not carried out.")
        if run.current is RunState.FAILED:
            return Result(document, text, 1, f"{run} failed: manage.py run_show {run.pk}")
        return Result(document, text)

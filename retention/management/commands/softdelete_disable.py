"""manage.py softdelete_disable TABLE"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result
from retention.selectors.softdelete_steps import Step
from retention.selectors.softdelete_undo import softdelete_undo
from retention.services.softdelete_disable import softdelete_disable
from retention.services.softdelete_steps_do import untold
from retention.softdelete_presenting import softdelete_json, undo_json, undo_text


class Command(CustodyCommand):
    help = (
        "Takes soft delete from a table again, with all that was added to it, and from the tables "
        "that had it only because their rows go along. Refused while rows are in the bin."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", metavar="TABLE", help="NAME or SCHEMA.NAME")

    def work(self, **options: Any) -> Result:
        if options["dry_run"]:
            plan = softdelete_undo(options["table"])
            refused = 3 if plan.obstacles else 0
            return Result(
                {"dry_run": True, "plan": undo_json(plan)},
                [*undo_text(plan), "", "Nothing was changed."],
                refused,
                "Something is in the way: it cannot be disabled so." if refused else "",
            )
        self.actor(options)
        done = softdelete_disable(
            options["table"],
            tell=self._tell_step if self.shows_progress(options) else untold,
        )
        first, *others = done.tables
        lines = [f"{first} has no soft delete any more: what was added to it is gone."]
        if others:
            lines.append(f"Nor have {', '.join(map(str, others))}.")
        lines += done.plan.cautions
        return Result(
            {
                "softdelete": softdelete_json(first),
                "tables": [softdelete_json(row) for row in done.tables],
                "cautions": done.plan.cautions,
            },
            [*lines],
        )

    def _tell_step(self, step: Step) -> None:
        self.stderr.write(f"{step.table}: {step.what} ...")

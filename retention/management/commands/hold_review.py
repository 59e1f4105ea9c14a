"""manage.py hold_review CASE --next DATE --reason TEXT"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result
from retention.hold_commands import day, reason_given
from retention.hold_presenting import hold_json
from retention.selectors.holds import hold_active
from retention.services.hold_release import hold_review


class Command(CustodyCommand):
    help = "Somebody looked at a legal hold and it stays: says when to look at it again."
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("case", metavar="CASE")
        parser.add_argument("--next", metavar="DATE", required=True, help="2031-06-30")

    def work(self, **options: Any) -> Result:
        next_on = day(options["next"])
        hold = hold_active(options["case"])
        if options["dry_run"]:
            text = f"The {hold} would be reviewed next by {next_on}."
            return Result(
                {"dry_run": True, "hold": hold_json(hold)}, [text, "Nothing was changed."]
            )
        hold = hold_review(
            case_id=hold.case_id,
            reviewed_by=self.actor(options),
            next_on=next_on,
            reason=reason_given(options),
        )
        return Result({"hold": hold_json(hold)}, [f"The {hold} stays; next review by {next_on}."])

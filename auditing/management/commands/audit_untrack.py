"""manage.py audit_untrack TABLE"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from auditing.exceptions import NotTracked
from auditing.presenting import tracked_json
from auditing.selectors.tracked import tracked_get
from auditing.services.untrack import table_untrack
from operations.commands import CustodyCommand, Result


class Command(CustodyCommand):
    help = "Ends the audit of a table. Its history stays, with all its versions."
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", metavar="TABLE", help="NAME or SCHEMA.NAME")

    def work(self, **options: Any) -> Result:
        tracked = tracked_get(options["table"])
        if tracked.untracked_at is not None:
            raise NotTracked(f"The audit of {tracked} ended on {tracked.untracked_at:%Y-%m-%d}.")
        if options["dry_run"]:
            return Result(
                {"dry_run": True, "tracked": tracked_json(tracked)},
                [f"Would end the audit of {tracked}.", "Nothing was changed."],
            )
        table_untrack(tracked, actor=self.actor(options), reason=options["reason"])
        said = f"{tracked} is not audited any more. Its versions stay in {tracked.history}."
        return Result({"tracked": tracked_json(tracked)}, [said])

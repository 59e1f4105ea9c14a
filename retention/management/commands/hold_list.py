"""manage.py hold_list [--all] [--table T] [--record T KEY]"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.catalogue.read import table as read_table
from operations.commands import CustodyCommand, Result, text_table
from retention.hold_presenting import hold_json, scope_words
from retention.models import LegalHold
from retention.selectors.holds import hold_list, holds_on


class Command(CustodyCommand):
    help = "Lists legal holds: the active ones, those of a table, or those that touch one record."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--all", action="store_true", help="released ones too")
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--table", help="NAME or SCHEMA.NAME")
        which.add_argument(
            "--record", nargs=2, metavar=("TABLE", "KEY"), help="active holds on this record"
        )

    def work(self, **options: Any) -> Result:
        if options["record"]:
            name, key = options["record"]
            holds = holds_on(read_table(name), [key]).get(key, [])
        else:
            holds = list(hold_list(released=options["all"], table=options["table"]))
        document = {"holds": [hold_json(hold) for hold in holds]}
        if not holds:
            return Result(document, ["No holds."])
        return Result(document, [_table(holds)])


def _table(holds: list[LegalHold]) -> Any:
    return text_table(
        "case",
        "holds",
        "placed by",
        "since",
        "review",
        "state",
        rows=[
            [
                hold.case_id,
                "; ".join(scope_words(scope) for scope in hold.scopes.all()),
                str(hold.placed_by),
                f"{hold.placed_at:%Y-%m-%d}",
                str(hold.review_on or ""),
                "active" if hold.active else f"released by {hold.released_by}",
            ]
            for hold in holds
        ],
    )

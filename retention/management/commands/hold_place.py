"""manage.py hold_place CASE --table T [--where COND | --row KEY ... | --rows-from FILE]"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result
from operations.exceptions import UsageError
from retention.hold_commands import day, reason_given
from retention.hold_presenting import covers_json, covers_line, hold_json
from retention.services.hold_place import ScopeAsked, hold_place, hold_preview


class Command(CustodyCommand):
    help = (
        "Places a legal hold: nothing destroys these rows until another person releases it. They "
        "are safe when this returns, also from a purge under way. A case that has a hold gets "
        "this table as well."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("case", metavar="CASE", help="as the case is called: 2031-17")
        parser.add_argument("--table", required=True, help="NAME or SCHEMA.NAME")
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--where", metavar="COND", default="", help="rows for which this holds")
        which.add_argument(
            "--row", metavar="KEY", action="append", help="a row by its key; may be repeated"
        )
        which.add_argument(
            "--rows-from", metavar="FILE", help="keys, one a line; - is standard input"
        )
        parser.add_argument(
            "--missing-ok",
            action="store_true",
            help="hold keys without a row too, as of rows that are in an archive",
        )
        parser.add_argument("--review", metavar="DATE", help="when to look at it again: 2031-06-30")

    def work(self, **options: Any) -> Result:
        asked = ScopeAsked(
            options["table"],
            where=options["where"],
            rows=self._rows(options),
            missing_ok=options["missing_ok"],
        )
        review_on = day(options["review"]) if options["review"] else None
        covers = hold_preview(asked)
        if options["dry_run"]:
            document = {"dry_run": True, "case_id": options["case"], "covers": covers_json(covers)}
            return Result(document, [f"Would hold {covers_line(covers)}.", "Nothing was changed."])
        placed = hold_place(
            case_id=options["case"],
            reason=reason_given(options),
            scopes=[asked],
            placed_by=self.actor(options),
            review_on=review_on,
        )
        said = "is extended" if placed.added else "is placed"
        text = f"The {placed.hold} {said}. It holds {covers_line(covers)}."
        return Result(
            {"hold": hold_json(placed.hold), "covers": covers_json(covers), "added": placed.added},
            [text],
        )

    def _rows(self, options: dict[str, Any]) -> list[str] | None:
        source = options["rows_from"]
        if source is None:
            return options["row"] or None
        if source == "-":
            return sys.stdin.read().splitlines()
        try:
            return Path(source).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{source} cannot be read: {error}.") from error

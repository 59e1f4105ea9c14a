"""manage.py audit_status [TABLE]"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from auditing.presenting import standing_json, standing_line
from auditing.selectors.tracked import standings, tracked_get
from operations.commands import CustodyCommand, Result


class Command(CustodyCommand):
    help = (
        "Shows the audited tables, and what of them is not as it should be: changed columns, "
        "missing triggers, a lost key. Exit code 1 when there is anything."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", metavar="TABLE", nargs="?", help="NAME or SCHEMA.NAME")

    def work(self, **options: Any) -> Result:
        only = tracked_get(options["table"]) if options["table"] else None
        found = standings(only=only)
        wrong = [standing for standing in found if standing.problems]
        document = {"ok": not wrong, "tables": [standing_json(standing) for standing in found]}
        lines: list[Any] = [standing_line(standing) for standing in found]
        if only is not None and only.untracked_at is not None:
            lines = [f"{only}: its audit ended on {only.untracked_at:%Y-%m-%d %H:%M}."]
        if not lines:
            lines = ["No table is audited. manage.py audit_track TABLE begins it."]
        noun = "table needs" if len(wrong) == 1 else "tables need"
        return Result(
            document, lines, 1 if wrong else 0, f"{len(wrong)} {noun} attention." if wrong else ""
        )

"""manage.py record_delete TABLE KEY"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.catalogue.read import table_name_resolve
from operations.commands import CustodyCommand, Result, text_table
from retention.deletion_presenting import (
    deletion_json,
    refused_lines,
    rows_words,
    severed_json,
    severed_lines,
)
from retention.selectors.deletions import deletion_get
from retention.services.record_delete import Deleted, record_delete


class Command(CustodyCommand):
    help = "Moves a record, with all that hangs on it, into the bin. Nothing is destroyed."
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", metavar="TABLE", help="NAME or SCHEMA.NAME")
        parser.add_argument("key", metavar="KEY", help="its key; a,b for one of several columns")

    def work(self, **options: Any) -> Result:
        found = record_delete(
            table=table_name_resolve(options["table"]),
            record_id=options["key"],
            actor=self.actor(options),
            reason=options["reason"],
            dry_run=options["dry_run"],
        )
        return _told(found)


def _told(found: Deleted) -> Result:
    document: dict[str, Any] = {
        "dry_run": found.dry_run,
        "table": str(found.table),
        "record_id": found.record_id,
        "tables": [
            {"table": table, "level": level, "rows": rows} for table, level, rows in found.tables
        ],
        "severed": severed_json(found.severed),
        "refused": list(found.refused),
    }
    if found.refused:
        return Result(
            document,
            ["It would be refused, because these refer to it:", *refused_lines(found.refused)],
            exit_code=3,
            problem=f"{found.table} {found.record_id} would not be deleted.",
        )
    lines: list[Any] = [
        text_table(
            "table",
            "rows",
            rows=[["  " * level + table, f"{rows:,}"] for table, level, rows in found.tables],
            right=frozenset({1}),
        ),
        *severed_lines(found.severed),
    ]
    if found.deletion is None:
        return Result(
            document,
            [f"{rows_words(found.rows)} would go into the bin:", *lines, "Nothing was changed."],
        )
    deletion = deletion_get(found.deletion.pk)
    document["deletion"] = deletion_json(deletion)
    until = f" until {deletion.purge_after:%Y-%m-%d}" if deletion.purge_after else ""
    return Result(
        document,
        [
            f"Deletion {deletion.pk}: {rows_words(found.rows)} went into the bin.",
            *lines,
            f"To bring it back{until}: manage.py record_restore {deletion.pk}",
        ],
    )

"""manage.py deletion_show DELETION"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result, text_table
from retention.deletion_presenting import (
    deletion_json,
    refused_lines,
    severed_json,
    severed_lines,
)
from retention.models import Deletion
from retention.selectors.deletion_rows import (
    DeletedRow,
    deletion_labels,
    deletion_rows,
    severed_counts,
)
from retention.selectors.deletions import deletion_get, deletion_tables


class Command(CustodyCommand):
    help = "Shows a deletion: who, when, why, what went along, and what it set to NULL."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("deletion", type=int, metavar="DELETION")
        parser.add_argument(
            "--rows", type=int, default=3, metavar="N", help="rows shown of each table"
        )

    def work(self, **options: Any) -> Result:
        deletion = deletion_get(options["deletion"])
        label = deletion_labels([deletion]).get(deletion.pk)
        severed = severed_counts(deletion)
        document = deletion_json(deletion, label)
        document["severed"] = severed_json(severed)
        document["parts"] = [each.pk for each in deletion.parts.all()]
        rows = {
            str(each.table): deletion_rows(deletion, each.table, limit=max(options["rows"], 0))
            for each in deletion_tables(deletion)
            if each.rows > 0
        }
        for entry in document["tables"]:
            entry["some"] = [
                {"record_id": row.record_id, **dict(row.values)}
                for row in rows.get(entry["table"], ())
            ]
        return Result({"deletion": document}, list(_lines(deletion, label, rows, severed)))


def _lines(
    deletion: Deletion, label: DeletedRow | None, rows: dict[str, list[DeletedRow]], severed: Any
) -> Any:
    what = label.label if label else deletion.record_id or f"{deletion.roots:,} records"
    yield f"Deletion {deletion.pk} of {deletion.table}: {what}"
    why = f": {deletion.reason}" if deletion.reason else ""
    yield f"{deletion.deleted_at:%Y-%m-%d %H:%M} by {deletion.actor}{why}"
    yield _standing(deletion)
    if deletion.split_from_id:
        yield f"It was a part of deletion {deletion.split_from_id}."
    parts = ", ".join(str(each.pk) for each in deletion.parts.all())
    if parts:
        yield f"Parts of it: {parts}"
    tables = deletion_tables(deletion)
    if tables:
        yield text_table(
            "table",
            "in the bin",
            "deleted",
            "restored",
            "elsewhere",
            "destroyed",
            rows=[
                [
                    "  " * each.level + str(each.table),
                    *(f"{number:,}" for number in (each.rows, each.deleted, each.restored)),
                    *(f"{number:,}" for number in (each.moved, each.purged)),
                ]
                for each in tables
            ],
            right=frozenset({1, 2, 3, 4, 5}),
        )
    for table, some in rows.items():
        for row in some:
            yield f"{table} {row.record_id}: {row.label}"
    yield from severed_lines(severed)
    yield from refused_lines(deletion.refused)


def _standing(deletion: Deletion) -> str:
    state = deletion.current
    if state is Deletion.State.DELETED:
        until = f" until {deletion.purge_after:%Y-%m-%d %H:%M}" if deletion.purge_after else ""
        asked = (
            f" {deletion.purge_asked_by} asked to destroy it." if deletion.purge_asked_by else ""
        )
        return f"In the bin{until}: manage.py record_restore {deletion.pk}.{asked}"
    if state is Deletion.State.RESTORED:
        why = f": {deletion.restore_reason}" if deletion.restore_reason else ""
        return f"Restored {deletion.restored_at:%Y-%m-%d %H:%M} by {deletion.restored_by}{why}"
    if state is Deletion.State.REFUSED:
        return "It was refused, so nothing was deleted. What refers to it and would have stayed:"
    run = f" by run {deletion.run_id}" if deletion.run_id else ""
    return f"{state.label}{run}."

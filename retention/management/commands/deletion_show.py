"""manage.py deletion_show DELETION"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser

from operations.catalogue.read import tables_by_oid
from operations.commands import CustodyCommand, Result, text_table
from retention.deletion_presenting import (
    deletion_json,
    deletion_words,
    refused_lines,
    severed_json,
    severed_lines,
    values_json,
)
from retention.models import Deletion
from retention.selectors.deletion_roots import deletion_root_of_each
from retention.selectors.deletion_rows import RowsPage, deletion_rows
from retention.selectors.deletions import deletion_get, deletion_tables
from retention.selectors.row_texts import RowText
from retention.selectors.severed import SeveredCount, severed_counts


class Command(CustodyCommand):
    help = "Shows a deletion: who, when, why, what went along, and what it set to NULL."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("deletion", type=int, metavar="DELETION")
        parser.add_argument(
            "--rows", type=int, default=3, metavar="N", help="rows shown of each table"
        )

    def work(self, **options: Any) -> Result:
        deletion = deletion_get(options["deletion"])
        root = deletion_root_of_each([deletion]).get(deletion.pk)
        severed = severed_counts(deletion)
        document = deletion_json(deletion, root)
        document["severed"] = severed_json(severed)
        document["parts"] = [each.pk for each in deletion.parts.all()]
        pages = _pages(deletion, max(options["rows"], 0))
        for entry in document["tables"]:
            page = pages.get(entry["table"], RowsPage(()))
            entry["some"] = [{"record_id": row.record_id, **values_json(row)} for row in page.rows]
            entry["problem"] = page.problem
        return Result({"deletion": document}, list(_lines(deletion, root, pages, severed)))


def _pages(deletion: Deletion, size: int) -> dict[str, RowsPage]:
    """By table, some of its rows that are in the bin now."""
    here = [each for each in deletion_tables(deletion) if each.rows > 0]
    tables = tables_by_oid({each.table_oid for each in here}, using=deletion.database)
    return {
        str(each.table): deletion_rows(
            deletion, tables[each.table_oid], size=size, using=deletion.database
        )
        if each.table_oid in tables
        else RowsPage((), problem="The table is gone.")
        for each in here
    }


def _lines(
    deletion: Deletion,
    root: RowText | None,
    pages: dict[str, RowsPage],
    severed: tuple[SeveredCount, ...],
) -> Iterator[Any]:
    yield f"Deletion {deletion.pk} of {deletion.table}: {deletion_words(deletion, root)}"
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
    for table, page in pages.items():
        for row in page.rows:
            yield f"{table} {row.record_id}: {row.label}"
        if page.problem:
            yield f"{table}: {page.problem}"
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

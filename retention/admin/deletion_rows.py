"""The rows of a deletion on its page: some of each table, or more of one, to be ticked."""

from __future__ import annotations

import re
from typing import Any

from django.utils.http import urlencode

from auditing.admin.record_links import record_id_of, slug_of
from operations.admin.show import number
from operations.catalogue.types import Table, TableName
from retention.admin.deletion_words import key_words, record_shown
from retention.models import Deletion, DeletionTable
from retention.selectors.deletion_rows import MOST_NAMED, deletion_rows
from retention.selectors.row_texts import RowText

FIRST, A_PAGE = 5, 50
TABLES = 8
"""Of which rows are shown at once; of others when they are asked for."""
_TICKED = re.compile(r"(\d{1,18}):(\S{1,4000})")


def row_sections(
    deletion: Deletion,
    rows: list[DeletionTable],
    tables: dict[int, Table],
    tracked: dict[TableName, int],
    *,
    only: int | None,
    after: str,
    masks: bool,
) -> list[dict[str, Any]]:
    """A section for each table that has rows in the bin; with `only` that table's, from `after`."""
    shown = [
        each
        for each in rows
        if each.rows > 0 and each.table_oid in tables and only in (None, each.table_oid)
    ]
    return [
        _section(
            deletion,
            each,
            tables[each.table_oid],
            tracked,
            size=A_PAGE if only is not None else FIRST if place < TABLES else 0,
            after=record_id_of(after) if after and only is not None else "",
            masks=masks,
        )
        for place, each in enumerate(shown)
    ]


def _section(
    deletion: Deletion,
    each: DeletionTable,
    table: Table,
    tracked: dict[TableName, int],
    *,
    size: int,
    after: str,
    masks: bool,
) -> dict[str, Any]:
    section: dict[str, Any] = {
        "oid": each.table_oid,
        "name": str(table.name),
        "count": number(each.rows),
        "more": f"?{urlencode({'table': each.table_oid})}#rows",
        "whole": each.rows <= MOST_NAMED,
        "rows": [],
    }
    if not size:
        return section
    page = deletion_rows(deletion, table, after=after, size=size, using=deletion.database)
    query: dict[str, Any] = {"table": each.table_oid}
    if page.after and (after or size == A_PAGE):
        query["after"] = slug_of(page.after)
    return section | {
        "names": [column.name for column in page.rows[0].columns] if page.rows else [],
        "rows": [_row(each.table_oid, row, table, tracked, masks=masks) for row in page.rows],
        "problem": page.problem,
        "more": f"?{urlencode(query)}#rows" if page.after else "",
        "from_start": bool(after),
    }


def _row(
    oid: int, row: RowText, table: Table, tracked: dict[TableName, int], *, masks: bool
) -> dict[str, Any]:
    return {
        "value": f"{oid}:{slug_of(row.record_id)}",
        "record": record_shown(table.name, row.record_id, tracked, masks=masks),
        "key": key_words(row.record_id, masks=masks),
        "values": [value for _, value in row.shown(masks=masks)],
    }


def ticked(values: list[str]) -> list[tuple[int, str]]:
    """Table and record id of each row that was ticked."""
    found = map(_TICKED.fullmatch, values)
    return [(int(each[1]), record_id_of(each[2])) for each in found if each]

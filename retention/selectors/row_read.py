"""One row of a governed table: what stands for it, and whether it is in the bin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import DataError, connections
from psycopg import sql

from operations.catalogue.types import Table
from operations.record_ids import PLACE, NoRecordId, key_values, record_id
from retention.selectors.row_texts import RowText, keyed_rows, text_columns, texts


@dataclass(frozen=True)
class RowStanding:
    """Whether a row that is there is active."""

    deletion_id: int | None
    """The deletion that has it; None for an active row, and for one marked without a deletion."""
    deleted_at: datetime | None


def row_standing(table: Table, key: str, *, using: str = "default") -> RowStanding | None:
    """Of a table with soft delete; None where there is no such row."""
    parts = [sql.SQL("t.deletion_id"), sql.SQL("t.deleted_at")]
    found = row_values(table, key, parts, using=using)
    return RowStanding(*found) if found is not None else None


def row_read(table: Table, key: str, *, using: str = "default") -> RowText | None:
    """The row of this record id, in the bin or not; None where there is none."""
    return rows_read(table, [key], using=using).get(key)


def rows_read(table: Table, keys: Sequence[str], *, using: str = "default") -> dict[str, RowText]:
    """By the record ids as they are given, the rows that are there, in the bin or not."""
    columns = text_columns(table, using=using)
    try:
        parts = [sql.SQL("k.{}").format(PLACE), record_id(table), *texts(columns)]
        given = [key_values(key, table) for key in keys]
        rows = _rows(keyed_rows(table, given, parts, numbered=True), using)
    except (NoRecordId, DataError):
        return {}
    return {
        keys[place - 1]: RowText(record, columns, tuple(values)) for place, record, *values in rows
    }


def row_values(
    table: Table, key: str, parts: Sequence[sql.Composable], *, using: str = "default"
) -> tuple[Any, ...] | None:
    """These expressions of the row `t`; None where there is no such row, or the text is no key."""
    try:
        found = _rows(keyed_rows(table, [key_values(key, table)], parts), using)
    except (NoRecordId, DataError):
        return None
    return found[0] if found else None


def _rows(query: sql.Composable, using: str) -> list[tuple[Any, ...]]:
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())

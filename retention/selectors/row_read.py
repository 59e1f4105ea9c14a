"""One row of a governed table: what stands for it, and whether it is in the bin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import DataError, connections
from psycopg import sql

from operations.catalogue.types import Table
from operations.record_ids import NoRecordId, given_keys, key_values, record_id, same_key
from retention.selectors.row_texts import RowText, listed, text_columns, texts


@dataclass(frozen=True)
class RowStanding:
    """Whether a row that is there is active."""

    deletion_id: int | None
    """The deletion that has it; None for an active row, and for one marked without a deletion."""
    deleted_at: datetime | None


def row_standing(table: Table, key: str, *, using: str = "default") -> RowStanding | None:
    """Of a table with soft delete; None where there is no such row."""
    try:
        query = sql.SQL("SELECT t.deletion_id, t.deleted_at FROM {} k JOIN {} t ON {}").format(
            given_keys([key_values(key, table)], table), table.name.sql, same_key(table, "t", "k")
        )
        with connections[using].cursor() as cursor:
            cursor.execute(query)
            found = cursor.fetchone()
    except (NoRecordId, DataError):
        return None
    return RowStanding(*found) if found is not None else None


def row_read(table: Table, key: str, *, using: str = "default") -> RowText | None:
    """The row of this record id, in the bin or not; None where there is none."""
    columns = text_columns(table)
    try:
        query = sql.SQL("SELECT {} FROM {} k JOIN {} t ON {}").format(
            listed([record_id(table), *texts(columns)]),
            given_keys([key_values(key, table)], table),
            table.name.sql,
            same_key(table, "t", "k"),
        )
        with connections[using].cursor() as cursor:
            cursor.execute(query)
            found = cursor.fetchone()
    except (NoRecordId, DataError):
        return None
    return RowText(found[0], columns, tuple(found[1:])) if found is not None else None

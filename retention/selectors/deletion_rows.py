"""What a deletion has in the bin, a page of a table at a time, in the order of the table's key.

What people know a row by is read from the row when it is shown: nothing of it is copied.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import DataError
from psycopg import sql

from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Table
from operations.record_ids import NoRecordId, given_keys, key_columns, key_values, record_id
from retention.models import Deletion
from retention.selectors.preview_budget import Budget, TooSlow
from retention.selectors.row_texts import RowText, listed, text_columns, texts

SECONDS = 2.0
MOST_NAMED = 5_000
"""Rows of a table that are chosen together."""


@dataclass(frozen=True)
class RowsPage:
    rows: tuple[RowText, ...]
    after: str = ""
    """The record id after which the next page begins; empty at the end."""
    problem: str = ""
    """Why there are none, when that is not because there are none."""


def deletion_rows(
    deletion: Deletion, table: Table, *, after: str = "", size: int = 10, using: str = "default"
) -> RowsPage:
    """The rows of the table that the deletion has in the bin now; `after`: behind this record id.

    It never raises for what became of the table since: `problem` says it.
    """
    if table.column("deletion_id") is None:
        return RowsPage((), problem="The table has no soft delete any more.")
    columns = text_columns(table, using=using)
    try:
        query = sql.SQL(
            "SELECT {parts} FROM {table} t WHERE t.deletion_id = {deletion}{after}"
            " ORDER BY {order} LIMIT {most}"
        ).format(
            parts=listed([record_id(table), *texts(columns)]),
            table=table.name.sql,
            deletion=sql.Literal(deletion.pk),
            after=_after(table, after),
            order=_key(table, "t"),
            most=sql.Literal(size + 1),
        )
        with Budget(SECONDS).limited(SECONDS, using=using) as cursor:
            cursor.execute(query)
            found = [RowText(key, columns, tuple(values)) for key, *values in cursor.fetchall()]
    except (NoRecordId, DataError) as error:
        # The database's further lines are our statement.
        return RowsPage((), problem=str(error).splitlines()[0])
    except TooSlow:
        return RowsPage((), problem="There was no time to read them.")
    more = size > 0 and len(found) > size
    return RowsPage(tuple(found[:size]), found[size - 1].record_id if more else "")


def deletion_record_ids(deletion: Deletion, table: Table, *, using: str = "default") -> list[str]:
    """All of the table's rows that it has, MOST_NAMED + 1 for more. Raises NoRecordId, TooSlow."""
    query = sql.SQL("SELECT {} FROM {} t WHERE t.deletion_id = {} LIMIT {}").format(
        record_id(table), table.name.sql, sql.Literal(deletion.pk), sql.Literal(MOST_NAMED + 1)
    )
    with Budget(SECONDS).limited(SECONDS, using=using) as cursor:
        cursor.execute(query)
        return [found for (found,) in cursor.fetchall()]


def _key(table: Table, alias: str) -> sql.Composable:
    return listed([Identifier(alias, column.name) for column in key_columns(table)])


def _after(table: Table, after: str) -> sql.Composable:
    """In the order of the key's own types. Raises NoRecordId."""
    if not after:
        return sql.SQL("")
    return sql.SQL(" AND ({}) > (SELECT {} FROM {} k)").format(
        _key(table, "t"), _key(table, "k"), given_keys([key_values(after, table)], table)
    )

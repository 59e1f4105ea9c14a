"""The statements of one batch of a purge.

Invariant: what is archived is what DELETE itself returns, so no row is deleted that is not in the
part, and no row is in the part that was not deleted.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import connections
from psycopg import sql

from operations.batches.walk import Window, window_predicate
from operations.catalogue.types import TableName
from retention.selectors.due import DueRows, due
from retention.services.layout import COPY_OPTIONS, column_list, stored_columns

Sink = Callable[[bytes | memoryview], None]


def lock_against_ddl(leaf: TableName, *, using: str) -> None:
    """Waits, at most for the lock timeout, and keeps the table's shape until the commit."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql.SQL("LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE").format(leaf.sql))


def delete_window(
    rows: DueRows,
    window: Window,
    unprotected: sql.Composable,
    *,
    skip_locked: bool,
    sink: Sink | None,
    using: str,
) -> int:
    """Deletes the due rows of a window, streaming them as CSV into `sink`; returns how many.

    Args:
        skip_locked: leave rows that somebody has locked to a later pass; a little slower.
    """
    where = sql.SQL("{} AND {}").format(
        window_predicate(window, rows.table, alias="t"),
        due(rows, unprotected, walking=window.by == "ctid"),
    )
    returning = column_list(stored_columns(rows.table), alias="t") if sink else None
    statement = (_skipping if skip_locked else _plain)(window.leaf, where, returning)
    with connections[using].cursor() as cursor:
        if sink is None:
            cursor.execute(statement)
        else:
            copy = sql.SQL("COPY ({}) TO STDOUT ({})").format(statement, sql.SQL(COPY_OPTIONS))
            with cursor.copy(copy) as rows_out:
                for block in rows_out:
                    sink(block)
        count: int = cursor.rowcount
    return count


def _plain(
    leaf: TableName, where: sql.Composable, returning: sql.Composable | None
) -> sql.Composable:
    statement = sql.SQL("DELETE FROM ONLY {} t WHERE {}").format(leaf.sql, where)
    return _returning(statement, returning)


def _skipping(
    leaf: TableName, where: sql.Composable, returning: sql.Composable | None
) -> sql.Composable:
    # MATERIALIZED: otherwise the planner may run the locking scan more than once.
    statement = sql.SQL(
        "WITH free AS MATERIALIZED (SELECT t.ctid AS place FROM ONLY {leaf} t WHERE {where}"
        " FOR UPDATE SKIP LOCKED)"
        " DELETE FROM ONLY {leaf} t USING free WHERE t.ctid = free.place"
    ).format(leaf=leaf.sql, where=where)
    return _returning(statement, returning)


def _returning(statement: sql.Composable, returning: sql.Composable | None) -> sql.Composable:
    if returning is None:
        return statement
    return sql.SQL("{} RETURNING {}").format(statement, returning)

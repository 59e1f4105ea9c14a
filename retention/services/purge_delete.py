"""The statements of one batch of a purge.

Invariant: what is archived is what DELETE itself returns, so no row is deleted that is not in the
part, and no row is in the part that was not deleted.
"""

from __future__ import annotations

from django.db import connections
from psycopg import sql

from operations.batches.application_path import application_path
from operations.batches.walk import Window, window_predicate
from operations.catalogue.types import TableName
from retention.selectors.due import DueRows, due
from retention.services.copy_out import Sink, copy_out
from retention.services.layout import COPY_OPTIONS, column_list, stored_columns

_IS_PART = """
WITH RECURSIVE above AS (
    SELECT pg_catalog.to_regclass(%s)::oid AS node
    UNION ALL
    SELECT i.inhparent FROM above a
    JOIN pg_catalog.pg_class c ON c.oid = a.node AND c.relispartition
    JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid AND NOT i.inhdetachpending
)
SELECT EXISTS (SELECT FROM above WHERE node = pg_catalog.to_regclass(%s))
"""


def lock_against_ddl(table: TableName, *, using: str) -> None:
    """Waits, at most for the lock timeout, and keeps the table's shape until the commit."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql.SQL("LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE").format(table.sql))


def lock_leaf(leaf: TableName, table: TableName, *, using: str) -> bool:
    """Whether the leaf is the table or a partition of it still, and stays so until the commit."""
    if leaf == table:
        return True
    if not is_part(leaf, table, using):
        return False
    lock_against_ddl(leaf, using=using)
    return is_part(leaf, table, using)


def is_part(leaf: TableName, table: TableName, using: str) -> bool:
    """Whether the leaf is the table or a partition of it now."""
    with connections[using].cursor() as cursor:
        cursor.execute(_IS_PART, [str(leaf), str(table)])
        return bool(cursor.fetchone()[0])


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
    with application_path(window.leaf, using=using):
        if sink is not None:
            copy = sql.SQL("COPY ({}) TO STDOUT ({})").format(statement, sql.SQL(COPY_OPTIONS))
            return copy_out(copy, sink, using=using)
        with connections[using].cursor() as cursor:
            cursor.execute(statement)
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

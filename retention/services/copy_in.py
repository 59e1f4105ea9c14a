"""COPY ... FROM STDIN into a temporary table, fed from an archive."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connections
from psycopg import sql

from retention.services.layout import COPY_OPTIONS

HEADER = b"-\n"
"""Stands where a header is expected: COPY passes over the first line."""


def copy_in(
    table: sql.Composable,
    columns: sql.Composable,
    blocks: Iterable[bytes],
    *,
    where: sql.Composable | None = None,
    using: str,
) -> int:
    """Reads the CSV, a header first; returns the number of rows that went in.

    Args:
        where: a condition on the table's columns; other rows are read and not stored.

    Raises:
        DatabaseError: in Django's classes, caused by psycopg's.
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN ({}){}").format(
        table,
        columns,
        sql.SQL(COPY_OPTIONS),
        sql.SQL(" WHERE {}").format(where) if where is not None else sql.SQL(""),
    )
    connection = connections[using]
    with (
        # Django wraps what execute() raises, and not what copy() raises.
        connection.wrap_database_errors,
        connection.cursor() as cursor,
    ):
        with cursor.copy(statement) as rows_in:
            for block in blocks:
                rows_in.write(block)
        count: int = cursor.rowcount
    return count

"""The search path that the governed application's own triggers expect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

from operations.catalogue.types import TableName

_THEIRS = """
SELECT pg_catalog.set_config('search_path', pg_catalog.quote_ident(%s) || ', public', true)
"""
_OURS = "SELECT pg_catalog.set_config('search_path', 'custody', true)"


@contextmanager
def application_path(table: TableName, *, using: str) -> Iterator[None]:
    """For one statement of ours that fires triggers which are not ours.

    The console's path is `custody` alone, so a trigger function that writes to `audit_logs` without
    naming a schema would fail, or find a table of ours. What it means is what lies beside its
    table, or in `public`. Our own statements name every schema and do not notice. An error ends
    the transaction or its savepoint, and the path with it.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(_THEIRS, [table.schema])
        yield
        cursor.execute(_OURS)

"""Columns that are audited without their values: a search does not tell of their values either."""

from __future__ import annotations

from django.db import connections

from auditing.models import Handling, TrackedColumn
from operations.catalogue.types import TableName

_NOW = """
SELECT a.attrelid::pg_catalog.int8, a.attnum::pg_catalog.int4, a.attname::pg_catalog.text
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = ANY (%s::pg_catalog.oid[]) AND NOT a.attisdropped
"""


def masked_columns(using: str) -> dict[TableName, frozenset[str]]:
    """By table, under the names that they had and have; two queries."""
    masked = TrackedColumn.objects.using(using).filter(
        handling=Handling.MASKED, tracked__database=using
    )
    columns = list(masked.select_related("tracked"))
    if not columns:
        return {}
    with connections[using].cursor() as cursor:
        cursor.execute(_NOW, [list({each.tracked.table_oid for each in columns})])
        names = {(oid, attnum): name for oid, attnum, name in cursor.fetchall()}
    found: dict[TableName, set[str]] = {}
    for each in columns:
        now = names.get((each.tracked.table_oid, each.attnum), each.name)
        found.setdefault(each.tracked.table, set()).update((each.name, now))
    return {table: frozenset(columns) for table, columns in found.items()}

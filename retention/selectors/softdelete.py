"""The tables that have soft delete."""

from __future__ import annotations

from django.db import connections
from django.db.models import QuerySet

from operations.catalogue.types import TableName
from retention.models import SoftDeleteTable

_OF_NAME = """
SELECT s.id, n.nspname, c.relname
FROM custody.retention_softdeletetable s
JOIN pg_catalog.pg_class c ON c.oid = s.table_oid::pg_catalog.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE s.disabled_at IS NULL AND s.ready_at IS NOT NULL AND s.table_oid = (
    SELECT coalesce(pg_catalog.pg_partition_root(t.oid)::pg_catalog.oid, t.oid)::pg_catalog.int8
    FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace m ON m.oid = t.relnamespace
    WHERE m.nspname = %s AND t.relname = %s)
"""


def softdelete_tables(*, using: str = "default") -> QuerySet[SoftDeleteTable]:
    """Those that are enabled, by name."""
    return SoftDeleteTable.objects.using(using).filter(
        disabled_at__isnull=True, ready_at__isnull=False
    )


def softdelete_table_of(name: TableName, *, using: str = "default") -> SoftDeleteTable | None:
    """The entry of this table, or of the one it is a partition of, with its name as it is now."""
    with connections[using].cursor() as cursor:
        cursor.execute(_OF_NAME, [name.schema, name.name])
        found = cursor.fetchone()
    if found is None:
        return None
    entry = SoftDeleteTable.objects.using(using).get(pk=found[0])
    entry.schema_name, entry.table_name = found[1], found[2]
    return entry

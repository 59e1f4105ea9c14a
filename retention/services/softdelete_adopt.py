"""After a restored dump: tables have other numbers there, and soft delete finds its own again.

Source: PostgreSQL's manual, 25.1 "SQL Dump": object numbers are given anew.
"""

from __future__ import annotations

from django.db import connections, transaction
from psycopg import sql

from operations.catalogue.types import TableName
from retention.models import SoftDeleteTable

# By entry: the table of its number, and that of its name when it has the columns.
_FOUND = """
SELECT s.id, s.table_oid, n.oid::int8, c.relname = s.table_name AND m.nspname = s.schema_name
FROM custody.retention_softdeletetable s
LEFT JOIN pg_catalog.pg_class c ON c.oid = s.table_oid::pg_catalog.oid
LEFT JOIN pg_catalog.pg_namespace m ON m.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT t.oid FROM pg_catalog.pg_class t
    JOIN pg_catalog.pg_namespace u ON u.oid = t.relnamespace
    WHERE u.nspname = s.schema_name AND t.relname = s.table_name AND t.relkind IN ('r', 'p')
      AND 3 = (SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute a
               WHERE a.attrelid = t.oid AND NOT a.attisdropped
                 AND a.attname IN ('deleted_at', 'deleted_by', 'deletion_id'))
) n ON true
WHERE s.disabled_at IS NULL AND s.database = %s
"""
_TABLES = (
    "retention_softdeletetable",
    "retention_deletion",
    "retention_deletiontable",
    "retention_severedreference",
)


def softdelete_adopt(*, using: str = "default") -> list[TableName]:
    """Gives the entries, and all that is told of their deletions, the tables' numbers of now.

    Only where not one table has the number that it had: a single one that has another name was
    renamed. Returns the tables that were found again.
    """
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("LOCK TABLE custody.retention_softdeletetable IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute(_FOUND, [using])
        rows = cursor.fetchall()
        if any(same for *_, same in rows):
            return []
        moved = [(pk, old, new) for pk, old, new, _ in rows if new is not None]
        if not moved:
            return []
        numbers = {"old": [each[1] for each in moved], "new": [each[2] for each in moved]}
        for table in _TABLES:
            # By way of numbers that no table has: one's new number may be another's old one.
            name = sql.Identifier("custody", table)
            cursor.execute(
                sql.SQL(
                    "UPDATE {} t SET table_oid = -m.new"
                    " FROM unnest(%(old)s::int8[], %(new)s::int8[]) AS m (old, new)"
                    " WHERE t.table_oid = m.old"
                ).format(name),
                numbers,
            )
            cursor.execute(
                sql.SQL("UPDATE {} SET table_oid = -table_oid WHERE table_oid < 0").format(name)
            )
        found = SoftDeleteTable.objects.using(using).filter(pk__in=[each[0] for each in moved])
        return [row.table for row in found]

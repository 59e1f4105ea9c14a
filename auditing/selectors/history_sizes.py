"""How much the histories take on disk: one query, however many there are."""

from __future__ import annotations

from django.db import connections


def history_sizes(*, using: str = "default") -> dict[str, int]:
    """Bytes by name of the history table: partitions, indexes and TOAST included."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT parent.relname, coalesce(sum("
            " pg_catalog.pg_total_relation_size(part.inhrelid)), 0)::bigint"
            " FROM pg_catalog.pg_class parent"
            " LEFT JOIN pg_catalog.pg_inherits part ON part.inhparent = parent.oid"
            " WHERE parent.relnamespace = pg_catalog.to_regnamespace('history')"
            " AND parent.relkind = 'p' GROUP BY parent.relname"
        )
        return dict(cursor.fetchall())

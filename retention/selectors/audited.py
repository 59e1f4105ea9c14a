"""What the audit knows of the tables that a purge touches."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connections

from auditing.models import TrackedTable
from operations.catalogue.types import Table, TableName

HISTORY = "history"
"""The schema of the histories."""

# A policy may be a partition's own: it is audited with its table.
_TRACKED = """
SELECT w.oid, t.id
FROM pg_catalog.unnest(%s::bigint[]) AS w (oid)
JOIN custody.auditing_trackedtable AS t
    ON t.table_oid = COALESCE(pg_catalog.pg_partition_root(w.oid::oid)::bigint, w.oid)
WHERE t.database = %s AND t.untracked_at IS NULL
"""


def history_tracked(name: TableName, *, using: str) -> TrackedTable | None:
    """Whose history the table is; None: of no table's."""
    if name.schema != HISTORY:
        return None
    return TrackedTable.objects.filter(database=using, history_name=name.name).first()


def audited(tables: Sequence[Table], *, using: str) -> dict[int, TrackedTable]:
    """Those whose changes are captured now, by their place among `tables`."""
    oids = [table.oid for table in tables]
    with connections[using].cursor() as cursor:
        cursor.execute(_TRACKED, [oids, using])
        found = dict(cursor.fetchall())
    known = TrackedTable.objects.in_bulk(found.values()) if found else {}
    return {place: known[found[oid]] for place, oid in enumerate(oids) if oid in found}

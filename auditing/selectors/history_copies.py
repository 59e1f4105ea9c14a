"""What the history keeps of a table's rows after a purge: for previews and certificates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db import connections
from django.utils import timezone

from auditing.models import TrackedTable
from operations import vetoes
from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import TableName

# A partition is audited with its table; a table that is gone is known by its name.
_TRACKED = """
SELECT t.id, t.untracked_at
FROM custody.auditing_trackedtable AS t
LEFT JOIN LATERAL (SELECT to_regclass(%(name)s) AS oid) AS w ON true
WHERE t.database = %(using)s AND to_regclass(format('history.%%I', t.history_name)) IS NOT NULL
    AND (t.table_oid = COALESCE(pg_partition_root(w.oid)::oid, w.oid::oid)::bigint
        OR w.oid IS NULL AND (t.schema_name, t.table_name) = (%(schema)s, %(table)s))
ORDER BY t.untracked_at NULLS FIRST, t.id
"""


def history_copies(table: TableName, *, using: str) -> Iterator[str]:
    """Sentences about every history that holds versions of the table's rows."""
    if table.schema == "history":
        yield "Each row's newest version is carried forward into the next month that stays."
        return
    with connections[using].cursor() as cursor:
        cursor.execute(
            _TRACKED,
            {"name": str(table), "using": using, "schema": table.schema, "table": table.name},
        )
        found: list[tuple[int, datetime | None]] = cursor.fetchall()
    if not found:
        yield "The console keeps no history of this table's rows: it is not audited."
    for pk, ended in found:
        tracked = TrackedTable.objects.using(using).get(pk=pk)
        if ended is not None:
            yield (
                f"The versions in {tracked.history} stay until their own term: the table was "
                f"audited there until {timezone.localtime(ended):%Y-%m-%d}."
            )
        elif by := _held_by(tracked, using):
            yield (
                f"The audit history keeps the versions of the rows, and their deletion, because "
                f"{tracked.history} is protected by {by}."
            )
        else:
            yield (
                f"The audit history keeps no version of the rows: those in {tracked.history} go "
                "with them, in the same transaction."
            )


def _held_by(tracked: TrackedTable, using: str) -> str:
    try:
        history = read_table(tracked.history, using=using)
    except NoSuchTable:
        return ""
    found = vetoes.protections(history, using=using)
    return ", ".join(dict.fromkeys(protection.by for protection in found))

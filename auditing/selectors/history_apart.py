"""Months of a history that are being retired: out of it already, and not dropped yet.

Their versions are not in the history while a run archives them; a run that stopped there, or is
cancelled, puts them back. Who looks for a version looks there too before it is called missing.
"""

from __future__ import annotations

from django.db import connections

from auditing.models import TrackedTable
from operations.catalogue.types import TableName

# A month that waits for the end of its detaching is still a partition, and not shown in the table.
_APART = """
SELECT c.relname::text
FROM pg_catalog.pg_class AS c
LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid
WHERE c.relnamespace = 'history'::regnamespace AND c.relkind = 'r'
    AND c.relname ~ ('^' || regexp_replace(%s, '([^A-Za-z0-9_])', '\\\\\\1', 'g') || '_p[0-9]{6}$')
    AND (i.inhrelid IS NULL OR i.inhdetachpending)
    AND NOT EXISTS (
        SELECT FROM custody.auditing_trackedtable AS t WHERE t.history_name = c.relname
    )
ORDER BY c.relname
"""


def history_apart(tracked: TrackedTable) -> list[TableName]:
    """The tables, with the history's own columns, from the oldest month on."""
    with connections[tracked.database].cursor() as cursor:
        cursor.execute(_APART, [tracked.history_name])
        return [TableName(tracked.history.schema, name) for (name,) in cursor.fetchall()]

"""How much is in the bin, without counting far."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connections
from psycopg import sql

from operations.catalogue.types import Table
from operations.session import set_local
from retention.selectors.preview_budget import Budget, TooSlow

COUNTED = 10_000
"""Rows, or deletions, up to which is counted."""
SECONDS = 0.3


@dataclass(frozen=True)
class BinNow:
    deletions: int
    """That wait in the bin; of more than COUNTED, those whose grace ends first."""
    records: int
    """Theirs, in all tables."""
    next_at: datetime | None
    """When the first of them may be destroyed."""


_NOW = """
SELECT count(*), coalesce(sum(t.rows), 0), min(d.purge_after)
FROM (SELECT id, purge_after FROM custody.retention_deletion
      WHERE state = 'deleted' ORDER BY purge_after LIMIT %s) AS d
CROSS JOIN LATERAL (
    SELECT sum(deleted - restored - moved - purged) AS rows
    FROM custody.retention_deletiontable WHERE deletion_id = d.id) AS t
"""
"""By the index of what is in the bin, in which no end comes last."""


def bin_now(*, using: str = "default") -> BinNow:
    """What waits in the bin, and what is destroyed next. One query."""
    with connections[using].cursor() as cursor:
        cursor.execute(_NOW, [COUNTED])
        deletions, records, next_at = cursor.fetchone()
    return BinNow(deletions, int(records), next_at)


def rows_in_bin(table: Table, *, using: str = "default") -> int | None:
    """Rows of the table that are in the bin, COUNTED + 1 for more; None when nobody can say."""
    if table.column("deletion_id") is None:
        return None
    query = sql.SQL(
        "SELECT count(*) FROM (SELECT FROM {} t WHERE t.deletion_id IS NOT NULL LIMIT {}) few"
    ).format(table.name.sql, sql.Literal(COUNTED + 1))
    try:
        with Budget(SECONDS).limited(SECONDS, using=using) as cursor:
            set_local({"enable_seqscan": "off"}, using=using)
            cursor.execute(query)
            return int(cursor.fetchone()[0])
    except TooSlow:
        return None

"""How much is in the bin, without counting far."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Sum
from psycopg import sql

from operations.catalogue.types import Table
from operations.session import set_local
from retention.models import Deletion, DeletionTable
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


def bin_now() -> BinNow:
    """What waits in the bin, and what is destroyed next: by the index of what is in it."""
    waiting = Deletion.objects.filter(state=Deletion.State.DELETED)
    soonest = waiting.order_by(F("purge_after").asc(nulls_last=True)).values("pk")[:COUNTED]
    kept = F("deleted") - F("restored") - F("moved") - F("purged")
    rows = DeletionTable.objects.filter(deletion__in=soonest).order_by()
    due = waiting.filter(purge_after__isnull=False).order_by("purge_after")
    return BinNow(
        deletions=soonest.count(),
        records=rows.aggregate(total=Sum(kept))["total"] or 0,
        next_at=due.values_list("purge_after", flat=True).first(),
    )


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

"""What somebody changed lately, by table: from a bounded number of their statements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connections
from django.utils import timezone

from auditing.models import TrackedTable

DAYS = 7
MOST = 20_000
"""Statements that are counted."""


@dataclass(frozen=True)
class OfTable:
    statements: int
    rows: int
    last_at: datetime


@dataclass(frozen=True)
class Recent:
    tables: Mapping[str, OfTable]
    """By name, the most changed first."""
    since: datetime | None
    """The oldest counted, where there were more than `MOST` within the days; else None."""


def actor_recent(actor: str, *, using: str = "default") -> Recent:
    """The last `DAYS` days of this actor."""
    since = timezone.now() - timedelta(days=DAYS)
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT tracked_id, count(*), sum(rows), max(at), min(at) FROM ("
            " SELECT tracked_id, rows, at FROM custody.auditing_changestatement"
            " WHERE actor = %s ORDER BY id DESC LIMIT %s) lately"
            " WHERE at >= %s GROUP BY tracked_id ORDER BY count(*) DESC, tracked_id",
            [actor, MOST, since],
        )
        found = cursor.fetchall()
    tables = TrackedTable.objects.using(using).in_bulk([each[0] for each in found])
    named = {
        str(tables[number]): OfTable(count, int(rows), last)
        for number, count, rows, last, _ in found
        if number in tables
    }
    oldest = min((each[4] for each in found), default=None)
    full = sum(each[1] for each in found) >= MOST
    return Recent(named, oldest if full else None)

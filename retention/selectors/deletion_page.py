"""One page of deletions, newest first, whatever their number: never counted, and bounded.

Where the application's own DELETE is captured there is a deletion for each: millions. A page looks
at so many of the newest that fit the days; when too few of them fit the rest as well, it says how
far back it has looked, and the next page goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from retention.models import Deletion
from retention.selectors.deletion_conditions import days, last_looked_at, newest, others
from retention.selectors.deletions import DeletionFilter

LOOKED_AT = 20_000
"""Deletions that one page looks at."""


@dataclass(frozen=True)
class DeletionPage:
    deletions: list[Deletion]
    """Newest first."""
    older: int | None
    """The deletion before which the next page begins; None at the end."""
    looked_back_to: datetime | None = None
    """Set when the page ends because it has looked long enough, not because it is full."""


def deletions_page(
    asked: DeletionFilter, *, before: int | None = None, size: int = 50, using: str = "default"
) -> DeletionPage:
    """The newest deletions before `before` that are what is asked for."""
    bounds = [*days(asked), *_older_than(before, using)]
    rest = others(asked)
    found = newest(bounds, rest, looked_at=LOOKED_AT, most=size + 1, using=using)
    if len(found) > size:
        return DeletionPage(found[:size], found[size - 1].pk)
    last = last_looked_at(bounds, looked_at=LOOKED_AT, using=using) if rest else None
    return DeletionPage(found, *(last or (None, None)))


def _older_than(before: int | None, using: str) -> list[sql.Composable]:
    if before is None:
        return []
    deletions = Deletion.objects.using(using).filter(pk=before)
    at = deletions.values_list("deleted_at", flat=True).first()
    if at is None:
        return [sql.SQL("d.id < {}").format(sql.Literal(before))]
    return [
        sql.SQL("(d.deleted_at, d.id) < ({}::timestamptz, {})").format(
            sql.Literal(at), sql.Literal(before)
        )
    ]

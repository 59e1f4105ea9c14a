"""One page of deletions, newest first, whatever their number: never counted, and bounded.

Where the application's own DELETE is captured there is a deletion for each: millions. A page looks
at so many of the newest that fit the days; when too few of them fit the rest as well, it says how
far back it has looked, and the next page goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet

from retention.models import Deletion, DeletionTable
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
    asked: DeletionFilter, *, before: int | None = None, size: int = 50
) -> DeletionPage:
    """The newest deletions before `before` that are what is asked for."""
    bounds = days(asked) & _older_than(before)
    ordered = Deletion.objects.filter(bounds).order_by("-deleted_at", "-pk")
    if not (asked.state or asked.table or asked.actor):
        return _full(list(ordered[: size + 1]), size)
    looked_at = ordered.values("pk")[:LOOKED_AT]
    found = _chosen(Deletion.objects.filter(pk__in=looked_at).filter(others(asked)), size)
    if len(found) > size:
        return _full(found, size)
    last = ordered.only("pk", "deleted_at")[LOOKED_AT - 1 : LOOKED_AT].first()
    if last is None:
        return DeletionPage(found, None)
    return DeletionPage(found, last.pk, last.deleted_at)


def days(asked: DeletionFilter) -> Q:
    """By the index that the list is in the order of."""
    found = Q()
    if asked.since is not None:
        found &= Q(deleted_at__gte=asked.since)
    if asked.until is not None:
        found &= Q(deleted_at__lt=asked.until)
    return found


def others(asked: DeletionFilter) -> Q:
    """What else is asked for; of a table also deletions that began elsewhere."""
    found = Q()
    if asked.state:
        found &= Q(state=asked.state)
    if asked.actor:
        found &= Q(actor__icontains=asked.actor)
    if asked.table is not None:
        of = Q(schema_name=asked.table.schema, table_name=asked.table.name)
        along = DeletionTable.objects.filter(of, deletion=OuterRef("pk"))
        found &= of | Q(Exists(along))
    return found


def _chosen(found: QuerySet[Deletion], size: int) -> list[Deletion]:
    return list(found.order_by("-deleted_at", "-pk")[: size + 1])


def _full(found: list[Deletion], size: int) -> DeletionPage:
    return DeletionPage(found[:size], found[size - 1].pk if len(found) > size else None)


def _older_than(before: int | None) -> Q:
    if before is None:
        return Q()
    at = Deletion.objects.filter(pk=before).values_list("deleted_at", flat=True).first()
    if at is None:
        return Q(pk__lt=before)
    # The first part is what the index serves.
    return Q(deleted_at__lte=at) & (Q(deleted_at__lt=at) | Q(pk__lt=before))

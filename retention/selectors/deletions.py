"""Deletions: which there are, and what each of them took."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from operations.catalogue.types import TableName
from retention.exceptions import NoSuchDeletion
from retention.models import Deletion, DeletionTable


@dataclass(frozen=True)
class DeletionFilter:
    """Empty is no limit."""

    state: str = ""
    table: TableName | None = None
    actor: str = ""
    since: datetime | None = None
    until: datetime | None = None


def deletion_get(deletion_id: int, *, using: str = "default") -> Deletion:
    """Raises NoSuchDeletion."""
    try:
        return (
            Deletion.objects.using(using)
            .select_related("run", "split_from")
            .prefetch_related("tables", "parts")
            .get(pk=deletion_id)
        )
    except Deletion.DoesNotExist:
        raise NoSuchDeletion(
            f"There is no deletion {deletion_id}. manage.py deletion_list shows those there are."
        ) from None


def deletions_list(
    wanted: DeletionFilter, *, before: int | None = None, limit: int = 50, using: str = "default"
) -> QuerySet[Deletion]:
    """The newest first, with their tables; `before`: older than the deletion of this number.

    Deletions that a restore has emptied by giving all they had to others are restored themselves.
    """
    found = Deletion.objects.using(using).order_by("-id")
    if wanted.state:
        found = found.filter(state=wanted.state)
    if wanted.table is not None:
        found = found.filter(schema_name=wanted.table.schema, table_name=wanted.table.name)
    if wanted.actor:
        found = found.filter(actor__icontains=wanted.actor)
    if wanted.since is not None:
        found = found.filter(deleted_at__gte=wanted.since)
    if wanted.until is not None:
        found = found.filter(deleted_at__lt=wanted.until)
    if before is not None:
        found = found.filter(pk__lt=before)
    return found.select_related("split_from").prefetch_related("tables")[:limit]


def deletion_rows_now(deletion: Deletion) -> int:
    """How many of its rows are in the bin."""
    return sum(each.rows for each in deletion.tables.all())


def deletion_tables(deletion: Deletion) -> list[DeletionTable]:
    """From the record it began with downwards."""
    return sorted(deletion.tables.all(), key=lambda each: (each.level, str(each.table)))

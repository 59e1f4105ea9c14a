"""What follows when a hold is released."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from operations import vetoes
from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import TableName
from operations.conditions.structure import from_json
from retention.models import Archive, LegalHold, RetentionPolicy
from retention.selectors.due import DueRows, due
from retention.selectors.hold_counts import Amount, Patience, held_by_any, rows_counted
from retention.selectors.hold_scopes import protections_of, scopes_of
from retention.selectors.holds import VETO, holds_of_table
from retention.selectors.policies import policies_runnable


@dataclass(frozen=True)
class BecomesDue:
    """Rows past the term of a policy that nothing but one hold keeps."""

    policy: RetentionPolicy
    rows: Amount


@dataclass(frozen=True)
class Release:
    """What follows when a hold is released."""

    due: tuple[BecomesDue, ...]
    archives: tuple[Archive, ...]
    """Past their term, and kept by this hold alone."""


def release_preview(*, hold: LegalHold, now: datetime, using: str = "default") -> Release:
    """What becomes due, and which archives may expire, once the hold is released."""
    patience = Patience()
    found = [_becomes_due(policy, hold, now, using, patience) for policy in policies_runnable()]
    return Release(
        tuple(each for each in found if each is not None and each.rows != Amount(0)),
        tuple(_archives_freed(hold, now, using)),
    )


def _becomes_due(
    policy: RetentionPolicy, hold: LegalHold, now: datetime, using: str, patience: Patience
) -> BecomesDue | None:
    try:
        table = read_table(policy.table, using=using)
    except NoSuchTable:
        return None
    here = scopes_of(table, using=using)
    mine = [each for each in here if each.scope.hold_id == hold.pk]
    cutoff = policy.cutoff(now)
    if not mine or cutoff is None:
        return None
    keep = from_json(policy.keep_condition) if policy.keep_condition else None
    rows = DueRows(table, policy.age_column, cutoff, keep)
    others = protections_of([each for each in here if each not in mine])
    others += vetoes.protections(table, using=using, besides=VETO)
    try:
        free = vetoes.unprotected(others, table=table)
    except vetoes.Vetoed:
        return BecomesDue(policy, Amount(0))
    where = sql.SQL("{} AND {}").format(due(rows, free, walking=False), held_by_any(mine))
    rows_due = rows_counted(table, where, using=using, seconds=patience.left)
    return BecomesDue(policy, rows_due)


def _archives_freed(hold: LegalHold, now: datetime, using: str) -> list[Archive]:
    past = Archive.objects.filter(state=Archive.State.COMPLETE, expires_at__lte=now)
    tables = past.values_list("schema_name", "table_name").distinct().order_by()
    freed = [name for name in tables if _holds_alone(hold, name, using)]
    return [
        archive
        for archive in past.defer("layout").order_by("id")
        if (archive.schema_name, archive.table_name) in freed
    ]


def _holds_alone(hold: LegalHold, name: tuple[str, str], using: str) -> bool:
    return [each.pk for each in holds_of_table(TableName(*name), using=using)] == [hold.pk]

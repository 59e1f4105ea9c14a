"""Other terms for an audited table: which columns are kept, masked, left out, significant."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone

from auditing.exceptions import BadColumns, NotTracked
from auditing.models import AuditEvent, Handling, TrackedColumn, TrackedTable
from auditing.services.brief_lock import with_brief_lock
from auditing.services.events import event_add
from auditing.services.sync import table_sync
from auditing.services.track import TrackTerms

_BASELINE = """
UPDATE custody.auditing_trackedtable
SET baseline_seq = nextval('custody.audit_seq'), baseline_at = clock_timestamp() WHERE id = %s
"""


def terms_change(
    *, tracked: TrackedTable, terms: TrackTerms, actor: User, reason: str
) -> TrackedTable:
    """From its return on changes are kept by these terms; older versions stay as they are.

    A column that is kept from now on sets `baseline_seq`, for `baseline_start` to take its values.

    Raises:
        NotTracked: its audit ended, or the table is gone.
        BadColumns: the terms name a column that there is not, or keep a key from the history.
        TableBusy: a transaction that uses the table or its history did not end in time.
    """
    if tracked.untracked_at is not None:
        raise NotTracked(f"The audit of {tracked} has ended.")
    table_sync(tracked, actor=actor, reason=reason)
    with_brief_lock(
        lambda: _change(tracked, terms, actor=actor, reason=reason),
        what=str(tracked),
        using=tracked.database,
    )
    # The history gets columns for what is kept newly.
    table_sync(tracked, actor=actor, reason=reason)
    tracked.refresh_from_db()
    return tracked


def _change(tracked: TrackedTable, terms: TrackTerms, *, actor: User, reason: str) -> None:
    columns = list(
        TrackedColumn.objects.select_for_update().filter(tracked=tracked, dropped_at=None)
    )
    _check(tracked, columns, terms)
    kept_newly = False
    for column in columns:
        handling = terms.handling(column.name)
        kept_newly |= handling is Handling.CAPTURED and column.handling != handling
        in_key = column.key_position is not None
        column.handling = handling
        column.significant = in_key or not terms.significant or column.name in terms.significant
    TrackedColumn.objects.bulk_update(columns, ["handling", "significant"])
    TrackedTable.objects.filter(pk=tracked.pk).update(
        reason_required=terms.reason_required, synced_at=timezone.now()
    )
    with connections[tracked.database].cursor() as cursor:
        if kept_newly:
            cursor.execute(_BASELINE, [tracked.pk])
        cursor.execute("SELECT custody.capture_make(%s)", [tracked.pk])
    event_add(
        AuditEvent.Kind.SYNC,
        tracked,
        actor=actor,
        reason=reason,
        detail={
            "exclude": sorted(terms.exclude),
            "mask": sorted(terms.mask),
            "significant": sorted(terms.significant),
            "reason_required": terms.reason_required,
        },
    )


def _check(tracked: TrackedTable, columns: list[TrackedColumn], terms: TrackTerms) -> None:
    known = {column.name: column for column in columns}
    named = {*terms.exclude, *terms.mask, *terms.significant}
    unknown = sorted(named - known.keys())
    if unknown:
        raise BadColumns(f"{tracked} has no column {', '.join(unknown)}.")
    kept_from = [*terms.exclude, *terms.mask]
    of_key = sorted(name for name in kept_from if known[name].key_position is not None)
    if of_key:
        raise BadColumns(f"{', '.join(of_key)} names the rows of {tracked}: a key is always kept.")
    both = sorted(set(terms.exclude) & {*terms.mask, *terms.significant})
    if both:
        raise BadColumns(f"{', '.join(both)} cannot be excluded and kept as well.")

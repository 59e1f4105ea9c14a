"""Every minute: deletions that the application wants destroyed (`custody.hard_delete`).

Each gets a run that waits for another person's approval, once; what keeps one in the bin becomes an
alert, until it is in the way no more.
"""

from __future__ import annotations

from collections.abc import Collection

from django.contrib.auth.models import User
from django.db import DataError, ProgrammingError
from django.db.models import F, Q

from operations.exceptions import CustodyError
from operations.models import Run
from operations.runs.exceptions import RunBusy
from operations.services.alerts import alert_raise, alert_resolve, alerts_resolve_others
from retention.models import Deletion
from retention.services.deletion_purge import DELETION_PURGE, deletion_purge_request

BIN_WATCH = "retention.bin_watch"
KEPT = "hard-delete:"
"""Begins the keys of alerts, before the deletion's number."""
MOST = 200
"""Asked for at a time."""


def bin_watch(*, requester: User) -> list[int]:
    """Returns the runs that were asked for: each waits for somebody's approval."""
    asked = _asked()
    alerts_resolve_others(prefix=KEPT, current={f"{KEPT}{each.pk}" for each in asked})
    return [run.pk for each in asked if (run := _ask(each, requester)) is not None]


def _asked() -> Collection[Deletion]:
    """Those for which nobody has decided yet. Once refused, or cancelled, a wish is over."""
    decided = Q(run__kind=DELETION_PURGE) & Q(run__created_at__gte=F("deleted_at"))
    return list(
        Deletion.objects.filter(state=Deletion.State.DELETED)
        .exclude(purge_asked_by="")
        .exclude(decided)
        .order_by("pk")[:MOST]
    )


def _ask(deletion: Deletion, requester: User) -> Run | None:
    key = f"{KEPT}{deletion.pk}"
    try:
        run = deletion_purge_request(
            deletion_id=deletion.pk,
            actor=requester,
            reason=f"custody.hard_delete, by {deletion.purge_asked_by}. {deletion.reason}".strip(),
            using=deletion.database,
        )
    except RunBusy:
        # Somebody asked in the same moment.
        return None
    except (CustodyError, ProgrammingError, DataError) as error:
        why = " ".join(str(error).split())
        alert_raise(
            key=key,
            summary=f"{deletion.purge_asked_by} wants {_what(deletion)} destroyed. {why}",
            remedy=(
                "It stays in the bin, and is asked for again as soon as nothing is in the way: "
                f"manage.py deletion_purge {deletion.pk} --dry-run"
            ),
            severity="warning",
        )
        return None
    alert_resolve(key=key)
    return run


def _what(deletion: Deletion) -> str:
    return f"{deletion.table} {deletion.record_id} (deletion {deletion.pk})".replace("  ", " ")

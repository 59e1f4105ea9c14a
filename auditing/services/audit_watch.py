"""The look at the audited tables every few minutes: drift is adjusted, what is wrong is told.

An application's migration needs nobody: its new columns and partitions have their place in the
history a few minutes later. Triggers that were off left a gap that no adjustment fills: they are
put back, and an alert stays until somebody has seen it.
"""

from __future__ import annotations

import logging

from auditing.models import TrackedTable
from auditing.selectors.tracked import Standing, standings
from auditing.services.baseline import AUDIT_BASELINE, baseline_start
from auditing.services.cluster_adopt import cluster_adopt
from auditing.services.sync import table_sync
from operations.exceptions import CustodyError
from operations.selectors.runs import run_open_for
from operations.services.actors import system_user
from operations.services.alerts import alert_raise, alerts_resolve_others

AUDIT_WATCH = "auditing.audit_watch"
PREFIX = "audit:"
WATCHER = "audit-watch"
RESTORED = f"{PREFIX}restored"
_REASON = "Found by the watch over audited tables."
log = logging.getLogger(__name__)


def audit_watch(*, using: str = "default") -> None:
    """Adjusts every table that drifted, starts the baselines that are due, raises alerts.

    A table that could not be adjusted keeps no other from it; the next look tries again. In a
    database that was restored the tables are found again first.
    """
    troubled: dict[str, str] = {}
    if failures := cluster_adopt(using=using).failures:
        troubled[RESTORED] = "\n".join(failures)
        alert_raise(
            key=RESTORED,
            summary="The database was restored, and not every audited table could be found again.",
            remedy=f"{troubled[RESTORED]}\nUntil then nothing is summarised or sealed. "
            "manage.py audit_sync tries again, as this does in a few minutes.",
        )
    for standing in standings(using=using):
        key = f"{PREFIX}{standing.tracked.pk}"
        try:
            told = _look(standing)
        except CustodyError as error:
            log.warning("%s could not be adjusted: %s", standing.tracked, error)
            told = str(error)
        if told:
            troubled[key] = told
            alert_raise(
                key=key,
                summary=f"The audit of {standing.tracked} needs attention.",
                remedy=f"{told}\nmanage.py audit_status {standing.tracked} tells how it stands.",
            )
    alerts_resolve_others(prefix=PREFIX, current=set(troubled))


def _look(standing: Standing) -> str:
    """What is wrong and stays so, in words; empty when the table is as it should be."""
    tracked = standing.tracked
    if not standing.dropped and standing.problems:
        tracked = table_sync(tracked, actor=system_user(WATCHER), reason=_REASON).tracked
        left = standings(only=tracked, using=tracked.database)
        standing = left[0] if left else standing
    _baseline(tracked)
    return "\n".join(standing.problems)


def _baseline(tracked: TrackedTable) -> None:
    tracked.refresh_from_db()
    if tracked.baseline_seq is None or tracked.untracked_at is not None:
        return
    if run_open_for(kind=AUDIT_BASELINE, subject=str(tracked.table)) is None:
        baseline_start(tracked, requester=system_user(WATCHER), reason=_REASON)

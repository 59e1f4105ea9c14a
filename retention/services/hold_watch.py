"""The night's look at the holds: reviews that are due, scopes that do not fit their table."""

from __future__ import annotations

from django.utils import timezone

from operations.services.alerts import alert_raise, alerts_resolve_others
from operations.services.scheduled_jobs import scheduled_job_begin
from retention.selectors.hold_astray import scopes_astray
from retention.selectors.holds import holds_due_for_review
from retention.services.hold_release import ASTRAY, REVIEW

HOLD_WATCH = "retention.hold_watch"


def hold_watch() -> None:
    """Raises an alert for each, and resolves those that are mended."""
    scheduled_job_begin(name=HOLD_WATCH)
    _reviews()
    _astray()


def _reviews() -> None:
    due = holds_due_for_review(on=timezone.localdate())
    for hold in due:
        alert_raise(
            key=f"{REVIEW}{hold.pk}",
            summary=f"The {hold} was to be reviewed by {hold.review_on}.",
            remedy=(
                f"Reason of the hold: {hold.reason}\nStill needed: manage.py hold_review "
                f"{hold.case_id} --next DATE. No longer: another person than {hold.placed_by} "
                f"releases it (manage.py hold_release {hold.case_id})."
            ),
            severity="warning",
        )
    alerts_resolve_others(prefix=REVIEW, current={f"{REVIEW}{hold.pk}" for hold in due})


def _astray() -> None:
    found = {f"{ASTRAY}{each.scope.hold_id}:{each.scope.pk}": each for each in scopes_astray()}
    for key, each in found.items():
        alert_raise(
            key=key,
            summary=f"The {each.scope.hold} does not fit {each.scope.table} any more: {each.why}.",
            remedy=f"{each.meanwhile} {each.remedy}",
            severity="error",
        )
    alerts_resolve_others(prefix=ASTRAY, current=found)

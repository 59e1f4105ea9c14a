"""The night's verification: what was sealed since the last clean one, once a week all of it."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils import timezone

from auditing.services.audit_verify import AUDIT_VERIFY, audit_verify_start
from operations.models import Run
from operations.runs.states import OWNED, RunState
from operations.services.scheduled_jobs import scheduled_job_begin

VERIFY_NIGHTLY = "auditing.verify_nightly"
WHOLE_EVERY = timedelta(days=6, hours=12)
"""So the seventh night looks at everything, also where a night began some hours early."""
OVERLAP = timedelta(days=1)
"""By which it goes back behind the last clean one."""
_REASON = "nightly"


def verify_nightly(*, requester: User) -> Run | None:
    """Asks for the verification of this night; None while that of a former night goes on.

    After findings each night looks from the last clean one on again, so that nothing that was found
    is forgotten before it is gone.
    """
    scheduled_job_begin(name=VERIFY_NIGHTLY)
    going = Run.objects.filter(kind=AUDIT_VERIFY, reason=_REASON, requester=requester)
    if going.filter(state__in=[RunState.QUEUED, *OWNED]).exists():
        return None
    clean = _over().filter(result__findings=0).first()
    whole = _over().filter(plan__since="the beginning").first()
    since = None
    if clean and whole and timezone.now() - whole.created_at < WHOLE_EVERY:
        since = clean.created_at - OVERLAP
    return audit_verify_start(requester=requester, reason=_REASON, since=since)


def _over() -> QuerySet[Run]:
    """Verifications of all tables that came to their end, the newest first."""
    return Run.objects.filter(
        kind=AUDIT_VERIFY, state=RunState.SUCCEEDED, parameters__tracked=None
    ).order_by("-created_at")

"""The night's expiry, after the purge: archives past their term go; what cannot go is said."""

from __future__ import annotations

from functools import partial

from django.contrib.auth.models import User

from operations.services.scheduled_jobs import scheduled_job_begin
from retention.services.archive_expire import KIND
from retention.services.archive_expire_start import Due, expiry_due, expiry_request
from retention.services.nightly import Wish, nightly_ask

ARCHIVE_EXPIRE_NIGHTLY = "retention.archive_expire_nightly"


def archive_expire_nightly(*, requester: User) -> list[int]:
    """Asks for an expiry by every policy that has archives past their term.

    Returns the queued runs (see `nightly_ask`).
    """
    scheduled_job_begin(name=ARCHIVE_EXPIRE_NIGHTLY)
    wishes = [_wish(due, requester) for due in expiry_due()]
    return nightly_ask(kind=KIND, alerts="expiry-refused:", wishes=wishes)


def _wish(due: Due, requester: User) -> Wish:
    return Wish(
        due.policy.name,
        partial(expiry_request, due=due, requester=requester, reason="nightly"),
        failed=f"Archives of {due.policy.name} past their term were not destroyed",
        remedy="Mend it, then try: manage.py archive_expire --dry-run",
    )

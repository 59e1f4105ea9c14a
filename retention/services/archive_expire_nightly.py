"""The night's expiry, after the purge: archives past their term go; what cannot go is said."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import DataError, ProgrammingError

from operations.exceptions import CustodyError
from operations.runs.exceptions import RunBusy
from operations.runs.states import RunState
from operations.selectors.runs import run_open_for
from operations.services.alerts import alert_raise, alert_resolve, alerts_resolve_others
from operations.services.scheduled_jobs import scheduled_job_begin
from retention.services.archive_expire import KIND
from retention.services.archive_expire_start import Due, expiry_due, expiry_request

ARCHIVE_EXPIRE_NIGHTLY = "retention.archive_expire_nightly"
_REFUSED = "expiry-refused:"


def archive_expire_nightly(*, requester: User) -> list[int]:
    """Asks for an expiry by every policy that has archives past their term.

    Returns the queued runs, which want a worker. A run that somebody paused stays paused.
    """
    scheduled_job_begin(name=ARCHIVE_EXPIRE_NIGHTLY)
    found = expiry_due()
    alerts_resolve_others(prefix=_REFUSED, current={_key(due) for due in found})
    asked = [_ask(due, requester) for due in found]
    return [run_id for run_id in asked if run_id is not None]


def _ask(due: Due, requester: User) -> int | None:
    run = run_open_for(kind=KIND, subject=due.policy.name)
    if run is not None and run.current in (RunState.PAUSED, RunState.PAUSING):
        _say(due, f"{run} is paused.", f"Let it go on: manage.py run_resume {run.pk}")
        return None
    try:
        run = expiry_request(due=due, requester=requester, reason="nightly")
    except RunBusy:
        # Somebody asked in the same moment.
        return None
    except (CustodyError, ProgrammingError, DataError) as error:
        why = " ".join(str(error).split())
        _say(due, why, "Mend it, then try: manage.py archive_expire --dry-run")
        return None
    alert_resolve(key=_key(due))
    return run.pk if run is not None and run.current is RunState.QUEUED else None


def _key(due: Due) -> str:
    return f"{_REFUSED}{due.policy.name}"


def _say(due: Due, why: str, remedy: str) -> None:
    alert_raise(
        key=_key(due),
        summary=f"Archives of {due.policy.name} past their term were not destroyed: {why}",
        remedy=f"{why}\n{remedy}",
        severity="warning",
    )

"""The night's purge: every policy gets its run; what cannot go becomes an alert."""

from __future__ import annotations

import shlex

from django.contrib.auth.models import User
from django.db import DataError, ProgrammingError

from operations.exceptions import CustodyError
from operations.runs.exceptions import RunBusy
from operations.runs.states import RunState
from operations.selectors.runs import run_open_for
from operations.services.alerts import alert_raise, alert_resolve, alerts_resolve_others
from operations.services.scheduled_jobs import scheduled_job_begin
from retention.models import RetentionPolicy
from retention.selectors.policies import policies_runnable
from retention.services.purge_start import purge_request

PURGE_NIGHTLY = "retention.purge_nightly"
_REFUSED = "purge-refused:"


def purge_nightly(*, requester: User) -> list[int]:
    """Asks for a purge by every runnable policy; returns the queued runs, which want a worker.

    One policy that cannot go never keeps another from going. A run that somebody paused stays
    paused. Raises OperationalError when the database is gone.
    """
    scheduled_job_begin(name=PURGE_NIGHTLY)
    policies = policies_runnable()
    alerts_resolve_others(prefix=_REFUSED, current={_key(policy) for policy in policies})
    asked = [_ask(policy, requester) for policy in policies]
    return [run_id for run_id in asked if run_id is not None]


def _ask(policy: RetentionPolicy, requester: User) -> int | None:
    run = run_open_for(kind="purge", subject=policy.name)
    if run is not None and run.current in (RunState.PAUSED, RunState.PAUSING):
        _say(policy, f"{run} is paused.", f"Let it go on: manage.py run_resume {run.pk}")
        return None
    try:
        run = purge_request(policy=policy, requester=requester, reason="nightly")
    except RunBusy:
        # Somebody asked in the same moment.
        return None
    except (CustodyError, ProgrammingError, DataError) as error:
        remedy = f"Mend it, then try: manage.py purge_run {shlex.quote(policy.name)} --dry-run"
        _say(policy, " ".join(str(error).split()), remedy)
        return None
    alert_resolve(key=_key(policy))
    return run.pk if run.current is RunState.QUEUED else None


def _key(policy: RetentionPolicy) -> str:
    return f"{_REFUSED}{policy.name}"


def _say(policy: RetentionPolicy, why: str, remedy: str) -> None:
    alert_raise(
        key=_key(policy),
        summary=f"The nightly purge of {policy.name} did not go: {why}",
        remedy=f"{why}\n{remedy}",
        severity="warning",
    )

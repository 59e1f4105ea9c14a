"""What the sweeper looks after beside the runs: alerts for what nobody gets on with."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from operations.selectors.schedules import MissedJob, jobs_missed
from operations.selectors.stalled import runs_stalled
from operations.services.alerts import alert_raise, alerts_resolve_others

_STALLED = "run-stalled:"
_MISSED = "job-missed:"


def watch(*, now: datetime | None = None) -> None:
    """Raises the alerts for stalled runs and missed jobs, and resolves those that are mended."""
    stalled = {f"{_STALLED}{each.run.pk}": each for each in runs_stalled(now=now)}
    for key, each in stalled.items():
        alert_raise(key=key, summary=f"{each.run}: {each.why}.", remedy=each.remedy, run=each.run)
    alerts_resolve_others(prefix=_STALLED, current=stalled)
    missed = {f"{_MISSED}{job.name}": job for job in jobs_missed(now=now)}
    for key, job in missed.items():
        alert_raise(key=key, summary=missed_text(job), remedy=MISSED_REMEDY)
    alerts_resolve_others(prefix=_MISSED, current=missed)


MISSED_REMEDY = (
    "Keep beat and a worker running (manage.py serve, or celery -A config.celery beat and worker); "
    "the next start clears this. It can be started by hand under Schedules, too."
)


def missed_text(job: MissedJob) -> str:
    """One sentence for people."""
    due = f"{timezone.localtime(job.due_at):%Y-%m-%d %H:%M}"
    if job.last_started_at is None:
        return f"{job.name} was due at {due} and has never begun."
    last = f"{timezone.localtime(job.last_started_at):%Y-%m-%d %H:%M}"
    return f"{job.name} was due at {due} and has not begun since {last}."

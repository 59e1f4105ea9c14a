"""When the jobs of the night began, and those that somebody asked for by SQL."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction
from django.db.models.functions import Now

from operations.models import JobRequest, ScheduledJob


def scheduled_job_begin(*, name: str) -> None:
    """`name`, a task of CELERY_BEAT_SCHEDULE, begins now, by the database's clock."""
    ScheduledJob.objects.update_or_create(name=name, defaults={"last_started_at": Now()})


def jobs_requested_start(*, start: Callable[[str], None]) -> list[str]:
    """Starts each job that was asked for through `custody.job_request`, once; returns their tasks.

    A request counts as started only when `start` did not raise: what a broker that is down did not
    take is asked for again at the next sweep.
    """
    with transaction.atomic():
        waiting = JobRequest.objects.select_for_update(skip_locked=True).filter(started_at=None)
        requests = list(waiting.order_by("id"))
        jobs = list(dict.fromkeys(request.job for request in requests))
        for job in jobs:
            start(job)
        JobRequest.objects.filter(pk__in=[each.pk for each in requests]).update(started_at=Now())
    return jobs

"""When the jobs of the night began."""

from __future__ import annotations

from django.db.models.functions import Now

from operations.models import ScheduledJob


def scheduled_job_begin(*, name: str) -> None:
    """`name`, a task of CELERY_BEAT_SCHEDULE, begins now, by the database's clock."""
    ScheduledJob.objects.update_or_create(name=name, defaults={"last_started_at": Now()})

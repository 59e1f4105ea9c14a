"""The times of day at which beat starts jobs: rows of django-celery-beat, edited in the console."""

from __future__ import annotations

from celery import current_app
from celery.schedules import crontab
from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from operations.models import JobRequest
from operations.selectors.schedules import is_timed


def schedules_seed(*, using: str = "default") -> None:
    """Makes the row of every job with a time of day that has none yet; changes no other.

    Does nothing before the tables are there.
    """
    if PeriodicTask._meta.db_table not in connections[using].introspection.table_names():
        return
    known = set(PeriodicTask.objects.using(using).values_list("name", flat=True))
    for name, entry in settings.CELERY_BEAT_SCHEDULE.items():
        if name not in known and is_timed(entry["schedule"]):
            PeriodicTask.objects.using(using).create(
                name=name,
                task=entry["task"],
                crontab=_crontab(entry["schedule"], using),
                description=_description(entry["task"]),
            )


def schedule_change(
    *, task: PeriodicTask, times: CrontabSchedule, enabled: bool, actor: User, reason: str
) -> None:
    """Another time for a job, or none. Noted in the admin's log with the reason.

    Beat takes it over within seconds.

    Args:
        times: as somebody wrote them; the stored row that says the same is taken, if there is one.
    """
    before = _said(task)
    with transaction.atomic():
        task.crontab, task.enabled = _same(times), enabled
        # What would have been due by the new time before now is not caught up with.
        task.start_time = now = timezone.now()
        task.last_run_at = task.last_run_at or now
        task.save()
        message = f"{before} became {_said(task)}. Reason: {reason}"
        LogEntry.objects.log_actions(actor.pk, [task], CHANGE, message, single_object=True)


def schedule_start(*, task: PeriodicTask, actor: User, reason: str) -> None:
    """Asks for a job now, beside its times; the next sweep starts it."""
    with transaction.atomic():
        JobRequest.objects.create(
            job=task.task, requested_at=timezone.now(), requested_by=f"console:{actor}"[:63]
        )
        LogEntry.objects.log_actions(
            actor.pk, [task], CHANGE, f"Started by hand. Reason: {reason}", single_object=True
        )


def _said(task: PeriodicTask) -> str:
    return str(task.crontab) if task.enabled else "off"


def _crontab(schedule: crontab, using: str) -> CrontabSchedule:
    found: CrontabSchedule = CrontabSchedule.from_schedule(schedule)
    found.save(using=using)
    return found


def _same(times: CrontabSchedule) -> CrontabSchedule:
    fields = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year", "timezone")
    spec = {name: getattr(times, name) for name in fields}
    return CrontabSchedule.objects.filter(**spec).first() or CrontabSchedule.objects.create(**spec)


def _description(task: str) -> str:
    """The first sentence of the task's docstring."""
    current_app.loader.import_default_modules()
    document = " ".join((current_app.tasks[task].__doc__ or "").split())
    return f"{document.split('. ')[0].rstrip('.')}." if document else ""

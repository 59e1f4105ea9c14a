"""Jobs with a time of day: when they come next, and those that should have begun and did not."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta

from celery.schedules import crontab
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Min, QuerySet
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from operations.models import ScheduledJob

GRACE = timedelta(hours=1)
"""A job may wait so long for a worker before it counts as missed."""
_EARLY = timedelta(minutes=5)
"""A start so long before its time is meant for it: clocks differ."""


@dataclass(frozen=True)
class TimedJob:
    """A job that beat starts at times of day."""

    task: str
    """`retention.purge_nightly`."""
    times: crontab
    changed_at: datetime | None
    """Since when it has these times; None: since the beginning."""
    last_started_at: datetime | None
    """None when it never began."""


@dataclass(frozen=True)
class MissedJob:
    """A job whose time has come and gone."""

    name: str
    """Of the task: `retention.purge_nightly`."""
    due_at: datetime
    last_started_at: datetime | None


def timed_jobs() -> list[TimedJob]:
    """The jobs that are switched on, by task; the times are those that people set."""
    started = dict(ScheduledJob.objects.values_list("name", "last_started_at"))
    return [
        TimedJob(row.task, row.crontab.schedule, row.start_time, started.get(row.task))
        for row in _rows()
    ]


def next_start(task: str, *, now: datetime | None = None) -> datetime | None:
    """When beat starts the task next; None when it is switched off."""
    moment = now or timezone.now()
    times = [next_time(row.crontab.schedule, after=moment) for row in _rows().filter(task=task)]
    return min(times, default=None)


def _rows() -> QuerySet[PeriodicTask]:
    rows: QuerySet[PeriodicTask] = PeriodicTask.objects.filter(enabled=True, crontab__isnull=False)
    return rows.select_related("crontab").order_by("task", "name")


def jobs_missed(*, now: datetime | None = None) -> list[MissedJob]:
    """The jobs that are over GRACE late.

    A job that never began counts from the console's first migration.
    """
    moment = now or timezone.now()
    since = _installed_at() or moment
    missed = []
    for job in timed_jobs():
        last = job.last_started_at
        begins = last + _EARLY if last else since
        due_at = next_time(job.times, after=max(begins, job.changed_at or begins))
        if due_at + GRACE < moment:
            missed.append(MissedJob(job.task, due_at, last))
    return missed


def is_timed(schedule: object) -> bool:
    """Intervals of seconds are told by heartbeats; only times of day can be missed."""
    return isinstance(schedule, crontab)


def next_time(times: crontab, *, after: datetime) -> datetime:
    """The first time after `after`, in the time zone of the schedule."""
    asked = copy(times)
    asked.nowfun = lambda: after
    remaining: timedelta = asked.remaining_estimate(after)
    return after + remaining


def _installed_at() -> datetime | None:
    first: datetime | None = MigrationRecorder.Migration.objects.aggregate(first=Min("applied"))[
        "first"
    ]
    return first

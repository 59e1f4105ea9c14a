"""Jobs that should have begun and did not."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from celery.schedules import crontab
from django.conf import settings
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Min
from django.utils import timezone

from operations.models import ScheduledJob

GRACE = timedelta(hours=1)
"""A job may wait so long for a worker before it counts as missed."""
_EARLY = timedelta(minutes=5)
"""A start so long before its time is meant for it: clocks differ."""


@dataclass(frozen=True)
class MissedJob:
    """A job whose time has come and gone."""

    name: str
    """Of the task: `retention.purge_nightly`."""
    due_at: datetime
    last_started_at: datetime | None
    """None when it never began."""


def jobs_missed(
    *, now: datetime | None = None, schedule: Mapping[str, Mapping[str, Any]] | None = None
) -> list[MissedJob]:
    """The jobs of `schedule` (CELERY_BEAT_SCHEDULE) with a time of day that are over GRACE late.

    A job that never began counts from the console's first migration.
    """
    moment = now or timezone.now()
    entries = settings.CELERY_BEAT_SCHEDULE if schedule is None else schedule
    timed = {e["task"]: e["schedule"] for e in entries.values() if is_timed(e["schedule"])}
    started = dict(
        ScheduledJob.objects.filter(name__in=timed).values_list("name", "last_started_at")
    )
    since = _installed_at() or moment
    missed = []
    for name, times in timed.items():
        last = started.get(name)
        due_at = next_time(times, after=last + _EARLY if last else since)
        if due_at + GRACE < moment:
            missed.append(MissedJob(name, due_at, last))
    return missed


def is_timed(schedule: object) -> bool:
    """Intervals of seconds are told by heartbeats; only times of day can be missed."""
    return isinstance(schedule, crontab)


def next_time(times: crontab, *, after: datetime) -> datetime:
    """The first time after `after`, in the time zone of beat (CUSTODY_TIME_ZONE)."""
    asked = copy(times)
    asked.nowfun = lambda: after
    remaining: timedelta = asked.remaining_estimate(after)
    return after + remaining


def _installed_at() -> datetime | None:
    first: datetime | None = MigrationRecorder.Migration.objects.aggregate(first=Min("applied"))[
        "first"
    ]
    return first

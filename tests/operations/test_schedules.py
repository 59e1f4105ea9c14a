"""Jobs of the night that did not begin are noticed, and only those."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from celery.schedules import crontab
from django.db.migrations.recorder import MigrationRecorder

from config.celery import app
from operations.models import ScheduledJob
from operations.selectors.schedules import jobs_missed, next_time
from operations.services.scheduled_jobs import scheduled_job_begin
from operations.services.watch import missed_text

NIGHTLY = "retention.purge_nightly"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def began(text: str) -> None:
    ScheduledJob.objects.update_or_create(name=NIGHTLY, defaults={"last_started_at": at(text)})


def installed(text: str) -> None:
    MigrationRecorder.Migration.objects.update(applied=at(text))


def missed(now: str) -> list[str]:
    return [job.name for job in jobs_missed(now=at(now))]


@pytest.mark.parametrize(
    ("last", "now", "late"),
    [
        ("2026-11-22 03:00:00.4", "2026-11-23 02:59", False),
        ("2026-11-22 03:00:00.4", "2026-11-23 03:59", False),
        ("2026-11-22 03:00:00.4", "2026-11-23 04:01", True),
        ("2026-11-23 03:00:00.4", "2026-11-23 04:01", False),
        # A worker came late, or the job was started by hand: the next night is due all the same.
        ("2026-11-22 09:30", "2026-11-23 03:30", False),
        ("2026-11-22 09:30", "2026-11-23 04:30", True),
        # The database's clock is a little behind beat's.
        ("2026-11-22 02:59:58", "2026-11-22 12:00", False),
        ("2026-11-22 02:59:58", "2026-11-23 04:30", True),
        ("2026-11-01 03:00", "2026-11-23 12:00", True),
    ],
)
def test_a_job_is_missed_an_hour_after_its_time(db: None, last: str, now: str, late: bool) -> None:
    installed("2026-01-01 00:00")
    began(last)
    assert missed(now) == ([NIGHTLY] if late else [])


def test_a_job_that_never_began_counts_from_the_installation(db: None) -> None:
    installed("2026-11-22 15:00")
    assert missed("2026-11-23 03:30") == []
    assert missed("2026-11-23 04:01") == [NIGHTLY]
    [job] = jobs_missed(now=at("2026-11-23 04:01"))
    assert job.last_started_at is None
    assert job.due_at == at("2026-11-23 03:00")
    assert missed_text(job) == f"{NIGHTLY} was due at 2026-11-23 03:00 and has never begun."


def test_a_job_that_begins_is_noted_by_the_database_s_clock(db: None) -> None:
    scheduled_job_begin(name=NIGHTLY)
    first = ScheduledJob.objects.get().last_started_at
    assert abs(datetime.now(UTC) - first) < timedelta(minutes=1)
    scheduled_job_begin(name=NIGHTLY)
    assert ScheduledJob.objects.get().last_started_at >= first


def test_jobs_of_every_few_seconds_are_not_judged_here(db: None) -> None:
    installed("2020-01-01 00:00")
    seconds = {"sweep": {"task": "operations.run_sweep", "schedule": 10.0}}
    assert jobs_missed(now=at("2026-11-23 12:00"), schedule=seconds) == []


@pytest.mark.parametrize(
    ("times", "after", "due"),
    [
        (crontab(hour=3, minute=0), "2026-11-22 03:00", "2026-11-23 03:00"),
        (crontab(minute="*/15"), "2026-11-22 03:01", "2026-11-22 03:15"),
        (crontab(hour=4, minute=30, day_of_week="sunday"), "2026-11-23 00:00", "2026-11-29 04:30"),
        (crontab(hour=1, minute=0, day_of_month="1"), "2026-11-23 00:00", "2026-12-01 01:00"),
    ],
)
def test_the_next_time_is_what_beat_would_take(times: crontab, after: str, due: str) -> None:
    assert next_time(times, after=at(after)) == at(due)


def test_times_are_those_of_the_console_s_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.conf, "timezone", "Europe/Zurich")
    monkeypatch.delitem(app.__dict__, "timezone", raising=False)
    summer = next_time(crontab(hour=3, minute=0), after=at("2026-07-01 12:00"))
    winter = next_time(crontab(hour=3, minute=0), after=at("2026-12-01 12:00"))
    monkeypatch.delitem(app.__dict__, "timezone", raising=False)
    assert summer == at("2026-07-02 01:00")
    assert winter == at("2026-12-02 02:00")


def test_asking_changes_nothing_in_the_schedule_itself(db: None) -> None:
    times = crontab(hour=3, minute=0)
    next_time(times, after=at("2026-11-22 03:00"))
    assert times == crontab(hour=3, minute=0)
    assert times.nowfun is None

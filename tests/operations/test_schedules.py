"""Jobs of the night that did not begin are noticed, and only those."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from celery.schedules import crontab
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from config.beat import ConsoleScheduler
from config.celery import app
from operations.models import ScheduledJob
from operations.selectors.schedules import jobs_missed, next_start, next_time
from operations.services.scheduled_jobs import scheduled_job_begin
from operations.services.schedules import schedule_change, schedules_seed
from operations.services.watch import missed_text

NIGHTLY = "retention.purge_nightly"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def began(text: str) -> None:
    ScheduledJob.objects.update_or_create(name=NIGHTLY, defaults={"last_started_at": at(text)})


def installed(text: str) -> None:
    MigrationRecorder.Migration.objects.update(applied=at(text))


def missed(now: str) -> list[str]:
    return [job.name for job in jobs_missed(now=at(now)) if job.name == NIGHTLY]


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
    [job] = [job for job in jobs_missed(now=at("2026-11-23 04:01")) if job.name == NIGHTLY]
    assert job.last_started_at is None
    assert job.due_at == at("2026-11-23 03:00")
    assert missed_text(job) == f"{NIGHTLY} was due at 2026-11-23 03:00 and has never begun."


def test_a_job_that_begins_is_noted_by_the_database_s_clock(db: None) -> None:
    scheduled_job_begin(name=NIGHTLY)
    first = ScheduledJob.objects.get().last_started_at
    assert abs(datetime.now(UTC) - first) < timedelta(minutes=1)
    scheduled_job_begin(name=NIGHTLY)
    assert ScheduledJob.objects.get().last_started_at >= first


def test_only_jobs_with_a_time_of_day_are_rows(db: None) -> None:
    timed = {name for name, entry in settings.CELERY_BEAT_SCHEDULE.items()
             if isinstance(entry["schedule"], crontab)}  # fmt: skip
    rows = PeriodicTask.objects.all()
    assert {row.name for row in rows} == timed
    assert "run-sweep" not in timed
    assert all(row.description.endswith(".") for row in rows)


def test_a_job_that_is_switched_off_is_not_missed(db: None) -> None:
    installed("2026-01-01 00:00")
    assert missed("2026-11-23 12:00")
    PeriodicTask.objects.update(enabled=False)
    assert missed("2026-11-23 12:00") == []
    assert next_start(NIGHTLY) is None


def test_another_time_is_kept_and_told_and_never_written_over(person: User) -> None:
    task = PeriodicTask.objects.get(task=NIGHTLY)
    schedule_change(
        task=task,
        times=CrontabSchedule(minute="30", hour="22", timezone="Europe/Zurich"),
        enabled=True,
        actor=person,
        reason="the shop is open at three",
    )
    schedules_seed()
    assert next_start(NIGHTLY, now=at("2026-11-23 12:00")) == at("2026-11-23 21:30")
    assert next_start(NIGHTLY, now=at("2026-11-23 21:31")) == at("2026-11-24 21:30")
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (person, str(task.pk))
    assert "the shop is open at three" in entry.change_message


def test_a_time_that_was_changed_counts_from_then(person: User) -> None:
    """Moved from the night to an hour of this morning, after that hour: nothing was missed."""
    installed("2026-01-01 00:00")
    now = timezone.now()
    ScheduledJob.objects.create(name=NIGHTLY, last_started_at=now - timedelta(hours=20))
    PeriodicTask.objects.exclude(task=NIGHTLY).update(enabled=False)
    times = now - timedelta(hours=3)
    schedule_change(
        task=PeriodicTask.objects.get(task=NIGHTLY),
        times=CrontabSchedule(minute=str(times.minute), hour=str(times.hour), timezone="UTC"),
        enabled=True,
        actor=person,
        reason="earlier",
    )
    assert jobs_missed() == []
    assert [job.name for job in jobs_missed(now=now + timedelta(hours=22, minutes=1))] == [NIGHTLY]


def test_the_schedule_that_beat_reads_has_the_rows_and_the_chores(db: None) -> None:
    PeriodicTask.objects.filter(task=NIGHTLY).update(enabled=False)
    scheduler = ConsoleScheduler(app=app, lazy=False)
    entries = scheduler.all_as_schedule()
    assert {"heartbeat", "run-sweep", "alert-send"} <= set(entries)
    assert "purge-nightly" not in entries
    # Of the chores one comes at once: what migrations took from soft delete is made again.
    assert [name for name, entry in entries.items() if entry.is_due().is_due] == [
        "softdelete-watch"
    ]
    # A chore that was sent goes on from there, also when the rows are read again.
    sent = scheduler.reserve(entries["heartbeat"])
    assert scheduler.all_as_schedule()["heartbeat"] is sent
    assert sent.total_run_count == 1
    assert not scheduler._dirty


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

"""The broker carries calls only: what it loses, or a killed worker leaves, is found and ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from kombu import Connection
from kombu.pools import producers
from pytest_django import Settings

from config.celery import app
from config.embedded import EmbeddedBroker
from operations import tasks
from operations.dispatch import wake
from operations.models import Heartbeat, Run
from operations.runs.states import RunState
from operations.services.run_lease import run_sweep
from operations.services.runs import run_cancel, run_create

from . import slow_kind
from .workers import Workshop, wait_until

assert slow_kind
Execute = Callable[..., list[tuple[Any, ...]]]
STEPS = 25


@pytest.fixture
def workshop(governed: str, execute: Execute, tmp_path: Path) -> Iterator[Workshop]:
    execute("CREATE TABLE app.counted (number int)")
    broker = EmbeddedBroker(tmp_path / "broker")
    broker.hold()
    shop = Workshop(broker, tmp_path)
    yield shop
    shop.close()
    broker.release()


def slow_run(person: User, *, steps: int = STEPS, seconds: float = 0.1) -> Run:
    return run_create(
        kind="slow", parameters={"steps": steps, "seconds": seconds}, requester=person
    )


def fresh(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)


def counted(execute: Execute) -> list[int]:
    return [row[0] for row in execute("SELECT number FROM app.counted ORDER BY number")]


def said(run: Run) -> list[str]:
    return list(run.events.values_list("message", flat=True))


def test_a_worker_killed_in_the_middle_of_a_run_is_replaced_and_the_run_ends(
    workshop: Workshop, person: User, execute: Execute
) -> None:
    run = slow_run(person)
    first = workshop.worker()
    workshop.send("operations.run_execute", run_id=run.pk)
    wait_until(lambda: fresh(run).done >= 3, "under way")
    first.kill()
    first.wait()
    killed = fresh(run)
    assert 0 < killed.done < STEPS
    assert killed.current is RunState.RUNNING

    workshop.worker()
    # The message of the first worker may come again too; the sweep is what must suffice.
    wait_until(lambda: _swept(workshop, run), "taken over")
    wait_until(lambda: fresh(run).current is RunState.SUCCEEDED, "ended")
    assert counted(execute) == list(range(1, STEPS + 1))
    ended = fresh(run)
    assert (ended.done, ended.fence, ended.losses) == (STEPS, 2, 0)
    assert any("is gone" in line for line in said(run))


def _swept(workshop: Workshop, run: Run) -> bool:
    workshop.send("operations.run_sweep")
    time.sleep(0.2)
    return fresh(run).fence == 2


def test_a_worker_told_to_end_gives_its_run_back_and_says_goodbye(
    workshop: Workshop, person: User, execute: Execute
) -> None:
    run = slow_run(person, steps=500)
    worker = workshop.worker()
    workshop.send("operations.heartbeat_record", sent_at=time.time())
    wait_until(lambda: Heartbeat.objects.filter(name="worker").exists(), "heartbeat")
    workshop.send("operations.run_execute", run_id=run.pk)
    wait_until(lambda: fresh(run).done >= 2, "under way")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=60) == 0
    left = fresh(run)
    assert left.current is RunState.QUEUED
    assert left.losses == 0
    assert said(run)[-1] == "Its worker was told to end; queued."
    assert counted(execute) == list(range(1, left.done + 1))
    assert Heartbeat.objects.get(name="worker").stopped
    # The next sweep gives it to somebody at once.
    assert run_sweep() == [run.pk]


def test_a_queued_run_whose_message_was_lost_is_found_by_the_sweep(
    workshop: Workshop, person: User, execute: Execute
) -> None:
    run = slow_run(person, steps=3, seconds=0)
    workshop.worker()
    workshop.send("operations.run_sweep")
    wait_until(lambda: fresh(run).current is RunState.SUCCEEDED, "ended")
    assert counted(execute) == [1, 2, 3]


def test_two_messages_for_one_run_do_its_work_once(
    workshop: Workshop, person: User, execute: Execute
) -> None:
    run = slow_run(person, steps=5, seconds=0.05)
    workshop.worker()
    for _ in range(4):
        workshop.send("operations.run_execute", run_id=run.pk)
    wait_until(lambda: fresh(run).current is RunState.SUCCEEDED, "ended")
    assert counted(execute) == [1, 2, 3, 4, 5]
    assert fresh(run).fence == 1


# In this process.


def test_a_run_that_needs_nobody_is_no_error(transactional_db: None, person: User) -> None:
    run = slow_run(person)
    run_cancel(run_id=run.pk, actor=person)
    tasks.run_execute(run_id=run.pk)
    assert fresh(run).current is RunState.CANCELLED


def test_a_run_is_sent_when_the_transaction_has_committed(
    transactional_db: None, person: User
) -> None:
    with app.connection_for_write() as link:
        queue = link.SimpleQueue("custody-runs")
        queue.clear()
        with transaction.atomic():
            run = slow_run(person)
            wake(run.pk)
            assert queue.qsize() == 0
        assert queue.qsize() == 1
        assert fresh(run).dispatched_at is not None
        # So the sweep does not send it a second time.
        assert run_sweep() == []
        queue.clear()
        queue.close()


def test_a_rolled_back_run_is_not_sent(transactional_db: None, person: User) -> None:
    with app.connection_for_write() as link:
        queue = link.SimpleQueue("custody-runs")
        queue.clear()
        with transaction.atomic():
            wake(slow_run(person).pk)
            transaction.set_rollback(True)
        assert queue.qsize() == 0
        queue.close()


def test_a_broker_that_is_down_is_no_error_and_the_sweep_finds_the_run(
    transactional_db: None, person: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = slow_run(person)
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    nobody = Connection(f"redis+socket://{tmp_path}/nobody", transport_options=options)
    monkeypatch.setattr(app.amqp, "_producer_pool", producers[nobody])
    wake(run.pk)
    assert fresh(run).dispatched_at is None
    assert run_sweep() == [run.pk]


def test_a_heartbeat_says_that_the_worker_lives_and_when_beat_sent_it(db: None) -> None:
    Heartbeat.objects.create(name="worker", at=timezone.now(), stopped=True)
    sent = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
    tasks.heartbeat_record(sent_at=sent.timestamp())
    worker, beat = Heartbeat.objects.get(name="worker"), Heartbeat.objects.get(name="beat")
    assert beat.at == sent
    assert abs(worker.at - timezone.now()) < timedelta(seconds=60)
    assert (worker.stopped, beat.stopped) == (False, False)


def test_every_job_of_the_schedule_is_a_task_and_goes_to_a_queue_that_workers_take() -> None:
    app.loader.import_default_modules()
    jobs = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert jobs == {
        "operations.heartbeat_record",
        "operations.run_sweep",
        "operations.alert_send",
        "auditing.audit_seal",
        "auditing.statement_summarise",
        "auditing.audit_watch",
        "auditing.partition_ahead",
        "auditing.verify_nightly",
        "retention.measure_take",
        "retention.purge_nightly",
        "retention.hold_watch",
        "retention.softdelete_watch",
        "retention.bin_watch",
        "retention.archive_expire_nightly",
    }
    assert jobs <= set(app.tasks)
    queues = {name: app.amqp.router.route({}, name)["queue"].name for name in app.tasks}
    assert queues["operations.run_execute"] == "custody-runs"
    assert {queues[job] for job in jobs} == {"custody"}
    assert set(app.amqp.queues) == {"custody", "custody-runs"}


def test_mail_that_cannot_be_sent_waits_for_the_next_call(db: None, settings: Settings) -> None:
    from operations.models import Alert
    from operations.services.alerts import alert_raise

    settings.CUSTODY_ALERT_EMAILS = ["officer@example.org"]
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "localhost", 1
    alert_raise(key="a", summary="Something.")
    tasks.alert_send()
    assert Alert.objects.get().mailed_at is None

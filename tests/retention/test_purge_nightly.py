"""Every night each policy gets its run; what cannot go is said, and keeps nothing else back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from config.celery import app
from operations.models import Alert, Run, ScheduledJob
from operations.runs.states import RunState
from operations.selectors.schedules import jobs_missed
from operations.services.actors import system_user
from operations.services.runs import run_pause
from retention import tasks
from retention.services.purge_nightly import purge_nightly

from .purging import make_events, make_policy

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def scheduler(governed: str) -> User:
    return system_user("scheduler")


def open_alerts() -> dict[str, str]:
    return dict(Alert.objects.filter(resolved_at=None).values_list("key", "summary"))


def test_each_runnable_policy_gets_a_run_and_a_worker_is_called(execute: Execute) -> None:
    make_events(execute, due=30)
    make_policy()
    make_policy(name="off", enabled=False)
    make_policy(name="for ever", keep_hours=None)
    make_policy(name="softly", keep_hours=None, soft_delete=True)
    with app.connection_for_write() as link:
        queue = link.SimpleQueue("custody-runs")
        queue.clear()
        tasks.purge_nightly()
        message = queue.get(timeout=1)
        queue.clear()
        queue.close()
    run = Run.objects.get()
    assert message.payload[1] == {"run_id": run.pk}
    assert (run.subject, run.current, run.reason) == ("events", RunState.QUEUED, "nightly")
    assert str(run.requester) == "scheduler"
    assert not run.requester.has_usable_password()
    assert open_alerts() == {}


def test_it_is_noted_when_it_begins_even_without_policies(scheduler: User) -> None:
    before = timezone.now()
    purge_nightly(requester=scheduler)
    assert ScheduledJob.objects.get().name == "retention.purge_nightly"
    assert ScheduledJob.objects.get().last_started_at >= before
    assert jobs_missed() == []


def test_a_refusal_is_an_alert_and_the_others_go(scheduler: User, execute: Execute) -> None:
    make_events(execute, due=30)
    make_policy()
    make_policy(name="a lost one", table_name="nowhere")
    assert len(purge_nightly(requester=scheduler)) == 1
    [alert] = Alert.objects.filter(resolved_at=None)
    assert alert.key == "purge-refused:a lost one"
    assert alert.severity == "warning"
    assert alert.summary.startswith("The nightly purge of a lost one did not go: ")
    assert "manage.py purge_run 'a lost one' --dry-run" in alert.remedy
    # The next night: still one alert. Once the table is there, none.
    purge_nightly(requester=scheduler)
    assert Alert.objects.count() == 1
    execute("CREATE TABLE app.nowhere (id int PRIMARY KEY, created_at timestamptz)")
    purge_nightly(requester=scheduler)
    assert open_alerts() == {}


def test_the_alert_of_a_policy_that_is_switched_off_goes(scheduler: User) -> None:
    policy = make_policy(name="lost", table_name="nowhere")
    purge_nightly(requester=scheduler)
    assert len(open_alerts()) == 1
    policy.enabled = False
    policy.save()
    purge_nightly(requester=scheduler)
    assert open_alerts() == {}


def test_a_paused_run_stays_paused_and_that_is_said(scheduler: User, execute: Execute) -> None:
    make_events(execute, due=30)
    make_policy()
    [run_id] = purge_nightly(requester=scheduler)
    run_pause(run_id=run_id, actor=scheduler)
    assert purge_nightly(requester=scheduler) == []
    assert Run.objects.get().current is RunState.PAUSED
    [(key, summary)] = open_alerts().items()
    assert key == "purge-refused:events"
    assert "is paused" in summary
    assert f"run_resume {run_id}" in Alert.objects.get().remedy


def test_a_failed_run_goes_on_where_it_was(scheduler: User, execute: Execute) -> None:
    make_events(execute, due=30)
    make_policy()
    [run_id] = purge_nightly(requester=scheduler)
    Run.objects.filter(pk=run_id).update(state=RunState.FAILED, error="the disk was full")
    assert purge_nightly(requester=scheduler) == [run_id]
    assert Run.objects.get().current is RunState.QUEUED


def test_two_nights_at_once_ask_for_the_same_run(scheduler: User, execute: Execute) -> None:
    make_events(execute, due=30)
    make_policy()
    first = purge_nightly(requester=scheduler)
    assert purge_nightly(requester=scheduler) == first
    assert Run.objects.count() == 1


def test_a_surge_waits_for_approval_and_calls_no_worker(
    scheduler: User, execute: Execute, person: User
) -> None:
    make_events(execute, due=30)
    make_policy()
    Run.objects.create(kind="purge", subject="events", state="succeeded", done=10, requester=person)
    assert purge_nightly(requester=scheduler) == []
    run = Run.objects.order_by("-id")[0]
    assert run.current is RunState.AWAITING_APPROVAL
    assert list(open_alerts()) == [f"run-approval:{run.pk}"]
    assert purge_nightly(requester=scheduler) == []
    assert Run.objects.count() == 2

"""The times of day of the console's jobs, as an operator changes them in the admin site."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import PeriodicTask

from operations.models import JobRequest
from operations.selectors.schedules import next_start
from tests.console import person, signed_in

pytestmark = pytest.mark.django_db

NIGHTLY = "retention.purge_nightly"
TIMES = {
    "enabled": "on",
    "hour": "22",
    "minute": "30",
    "day_of_week": "mon-fri",
    "day_of_month": "*",
    "month_of_year": "*",
    "timezone": "Europe/Zurich",
    "reason": "the shop is open at three",
}


@pytest.fixture
def client() -> Client:
    return signed_in(person("olga", role="operator"))


@pytest.fixture
def task() -> PeriodicTask:
    return PeriodicTask.objects.get(task=NIGHTLY)


def page(task: PeriodicTask, view: str = "change") -> str:
    return reverse(f"admin:django_celery_beat_periodictask_{view}", args=[task.pk])


def change(client: Client, task: PeriodicTask, **given: Any) -> Any:
    data = {key: value for key, value in {**TIMES, **given}.items() if value is not None}
    return client.post(page(task, "time"), data, follow=True)


def test_the_list_says_what_starts_when(client: Client) -> None:
    text = client.get(reverse("admin:django_celery_beat_periodictask_changelist")).text
    assert "Purge nightly" in text
    assert "At 03:00" in text
    assert "Every night: a purge by each policy." in text


@pytest.mark.parametrize("view", ["changelist", "change", "time", "start", "history"])
def test_every_page_calls_them_as_the_menu_does(
    client: Client, task: PeriodicTask, view: str
) -> None:
    name = f"admin:django_celery_beat_periodictask_{view}"
    text = client.get(reverse(name, args=[] if view == "changelist" else [task.pk])).text
    assert re.findall(r'title="([^"]*)" class="c-crumb', text)[0] == "schedules"
    assert "periodic task" not in text.lower()


def test_a_changed_time_is_in_force_and_says_who_and_why(
    client: Client, task: PeriodicTask
) -> None:
    text = change(client, task).text
    assert "Purge nightly starts at 22:30, Monday through Friday." in text
    assert "the shop is open at three" in text
    assert "olga" in text
    task.refresh_from_db()
    assert str(task.crontab.timezone) == "Europe/Zurich"
    start = next_start(NIGHTLY)
    assert start is not None
    assert start.astimezone(task.crontab.timezone).strftime("%H:%M") == "22:30"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"hour": "25"}, "hour"),
        ({"minute": "quarter"}, "minute"),
        ({"day_of_month": "31", "month_of_year": "2"}, "It would never come"),
        ({"timezone": "Mars/Olympus"}, "Select a valid choice"),
        ({"reason": ""}, "This field is required"),
    ],
)
def test_a_time_that_cannot_be_is_refused_and_changes_nothing(
    client: Client, task: PeriodicTask, given: dict[str, str], said: str
) -> None:
    before = (task.crontab_id, task.enabled)
    response = change(client, task, **given)
    assert said.lower() in response.text.lower()
    task.refresh_from_db()
    assert (task.crontab_id, task.enabled) == before


def test_a_job_is_switched_off_and_says_so(client: Client, task: PeriodicTask) -> None:
    assert "Purge nightly is switched off." in change(client, task, enabled=None).text
    assert next_start(NIGHTLY) is None


def test_a_job_started_by_hand_is_asked_for_once(client: Client, task: PeriodicTask) -> None:
    assert client.get(page(task, "start")).status_code == 200
    assert not JobRequest.objects.exists()
    client.post(page(task, "start"), {"reason": "after the incident"})
    [request] = JobRequest.objects.all()
    assert (request.job, request.requested_by) == (NIGHTLY, "console:olga")
    assert "after the incident" in client.get(page(task)).text


def test_who_may_only_look_changes_nothing(task: PeriodicTask) -> None:
    officer = signed_in(person("otto", role="officer"))
    assert officer.get(page(task)).status_code == 200
    assert change(officer, task).status_code == 403
    assert officer.post(page(task, "start"), {"reason": "x"}).status_code == 403

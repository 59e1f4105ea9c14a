"""The overview: what needs somebody, what is under way, what was done."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from operations.models import Heartbeat
from operations.runs.states import RunState
from operations.services.alerts import alert_raise
from retention.models import RetentionPolicy
from tests.console import make_archive, make_policy, make_run, person, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def asker() -> User:
    return person("asker")


@pytest.fixture
def policy() -> RetentionPolicy:
    return make_policy()


def alive(*, ago: timedelta = timedelta()) -> None:
    for name in ("worker", "beat"):
        Heartbeat.objects.update_or_create(name=name, defaults={"at": timezone.now() - ago})


def overview(role: str = "operator") -> str:
    return signed_in(person("looker", role=role)).get(reverse("admin:index")).text


def test_a_console_where_nothing_happened_yet_says_so() -> None:
    alive()
    text = overview()
    assert "All is well." in text
    assert "No run is under way." in text
    assert "No run has ended yet." in text


def test_a_dead_worker_and_a_dead_beat_are_said_with_what_to_do() -> None:
    alive(ago=timedelta(minutes=9))
    text = overview()
    assert "The worker, which does the runs, gave its last sign of life 9 minutes ago." in text
    assert "Beat, which starts them, gave its last sign of life 9 minutes ago." in text
    assert "manage.py serve" in text


def test_open_alerts_come_first_with_their_remedy_and_a_link(
    asker: User, policy: RetentionPolicy
) -> None:
    alive()
    run = make_run(policy, asker, RunState.FAILED)
    alert_raise(key="run-failed:1", summary="It failed.", remedy="Mend it.", run=run)
    text = overview()
    assert "All is well." not in text
    assert text.index("It failed.") < text.index("Mend it.") < text.index("Under way")
    assert reverse("admin:operations_run_change", args=[run.pk]) in text


def test_runs_stand_under_what_they_are_doing(asker: User, policy: RetentionPolicy) -> None:
    alive()
    make_run(policy, asker, RunState.RUNNING, done=617_284)
    make_run(make_policy("waiting"), asker, RunState.AWAITING_APPROVAL)
    make_run(make_policy("over"), asker, RunState.SUCCEEDED, done=4_321)
    make_run(make_policy("queued"), asker, RunState.QUEUED)
    text = overview()
    waiting, working, last = (
        text.index(title) for title in ("Waiting for approval", "Under way", "Last runs")
    )
    assert waiting < text.index("Purge of waiting") < working
    assert "1 queued" in text[working:last]
    assert working < text.index("Purge of events") < last
    assert 'aria-valuenow="50"' in text
    assert last < text.index("Purge of over")


def test_what_was_removed_and_archived_is_counted(asker: User, policy: RetentionPolicy) -> None:
    old = timezone.now() - timedelta(days=31)
    make_run(policy, asker, RunState.SUCCEEDED, done=999_999, finished_at=old)
    run = make_run(make_policy("other"), asker, RunState.SUCCEEDED, done=4_000)
    make_run(make_policy("third"), asker, RunState.CANCELLED, done=321)
    make_archive(run, policy, parts=2)
    text = overview()
    assert "<dd>4,321</dd>" in text
    assert "2,000 rows" in text
    assert "4.0 KiB" in text


def test_everybody_sees_only_what_their_role_may(asker: User, policy: RetentionPolicy) -> None:
    run = make_run(policy, asker, RunState.RUNNING)
    alert_raise(key="x", summary="It failed.", run=run)
    text = overview("support")
    assert "It failed." not in text
    assert "Purge of events" in text


def test_who_has_no_role_is_told_what_to_ask_for() -> None:
    text = overview("")
    assert "You have no role yet" in text
    assert "Under way" not in text


def test_the_overview_asks_as_much_of_a_full_console_as_of_an_empty_one(
    asker: User, policy: RetentionPolicy
) -> None:
    client = signed_in(person("looker", role="operator"))

    def asked() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(reverse("admin:index")).status_code == 200
        return len(captured)

    few = asked()
    for number in range(12):
        each = make_policy(f"policy {number}")
        run = make_run(each, asker, RunState.SUCCEEDED, done=5)
        make_run(each, asker, RunState.RUNNING)
        alert_raise(key=f"run-failed:{number}", summary="It failed.", run=run)
    assert asked() == few <= 32


def test_the_sidebar_counts_what_waits_and_says_nothing_of_nothing() -> None:
    page = overview("officer")
    assert figures(page) == []
    assert "None" not in page
    User.objects.all().delete()
    for key in ("a", "b"):
        alert_raise(key=key, summary=f"{key} is wrong")
    assert figures(overview("officer")) == ["2"]


def figures(page: str) -> list[str]:
    """The badges beside the entries of the sidebar."""
    badge = r'<span class="[^"]*uppercase min-w-\[18px\][^"]*">\s*(.*?)\s*</span>'
    return re.findall(badge, page, re.DOTALL)

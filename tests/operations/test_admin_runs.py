"""Runs in the admin: what is shown of them, and who decides what about them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import current_app
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks

from operations.dispatch import RUN_EXECUTE
from operations.models import Run
from operations.runs.states import RunState as S
from operations.services.runs import run_log
from retention.models import RetentionPolicy
from tests.console import PASSWORD, make_policy, make_run, person, signed_in

pytestmark = pytest.mark.django_db

BUTTONS = {
    # state: what an operator gets who did not ask for it, what an officer gets
    S.PREVIEWED: (set(), set()),
    S.AWAITING_APPROVAL: ({"approve", "refuse", "cancel"}, {"approve", "refuse"}),
    S.QUEUED: ({"pause", "cancel"}, set()),
    S.RUNNING: ({"pause", "cancel"}, set()),
    S.PAUSING: ({"resume", "cancel"}, set()),
    S.PAUSED: ({"resume", "cancel"}, set()),
    S.VERIFYING: (set(), set()),
    S.FAILED: ({"resume", "cancel"}, set()),
    S.SUCCEEDED: (set(), set()),
    S.CANCELLED: (set(), set()),
}


@pytest.fixture
def asker() -> User:
    return person("asker", role="operator")


@pytest.fixture
def policy() -> RetentionPolicy:
    return make_policy()


@pytest.fixture
def sent() -> Iterator[Any]:
    """The calls to workers that the broker holds."""
    with current_app.connection_for_write() as broker:
        routed = current_app.amqp.router.route({}, RUN_EXECUTE)
        queue = broker.SimpleQueue(routed["queue"])
        queue.clear()
        yield queue
        queue.clear()
        queue.close()


def page(client: Client, run: Run, query: str = "") -> str:
    return client.get(reverse("admin:operations_run_change", args=[run.pk]) + query).text


def decide(client: Client, run: Run, decision: str, **given: str) -> Any:
    address = reverse("admin:operations_run_decide", args=[run.pk, decision])
    return client.post(address, given, follow=True)


def buttons(text: str, run: Run) -> set[str]:
    return {
        name
        for name in ("approve", "refuse", "pause", "resume", "cancel")
        if reverse("admin:operations_run_decide", args=[run.pk, name]) in text
    }


@pytest.mark.parametrize("state", list(BUTTONS))
def test_a_run_has_the_buttons_of_its_state_for_those_who_may_press_them(
    asker: User, policy: RetentionPolicy, state: S
) -> None:
    run = make_run(policy, asker, state)
    operator, officer = BUTTONS[state]
    assert buttons(page(signed_in(person("o", role="operator")), run), run) == operator
    assert buttons(page(signed_in(person("c", role="officer")), run), run) == officer
    for role in ("support", "auditor"):
        assert buttons(page(signed_in(person(role, role=role)), run), run) == set()


def test_who_asked_gets_no_button_to_approve_and_is_told_why(
    asker: User, policy: RetentionPolicy
) -> None:
    run = make_run(policy, asker, S.AWAITING_APPROVAL)
    text = page(signed_in(asker), run)
    assert buttons(text, run) == {"cancel"}
    assert "You asked for this run, so another person has to approve or refuse it." in text
    assert "More rows than ever." in text


def test_the_page_says_everything_in_words_and_names(asker: User, policy: RetentionPolicy) -> None:
    run = make_run(policy, asker, S.PAUSED, done=617_283, active_seconds=10)
    text = page(signed_in(asker), run)
    for shown in (
        "Purge of",
        "asked for by asker: the law says so",
        "617,283",
        "of 1,234,567 rows",
        "49 %",
        "61,728",
        "app.events",
        "Kept by the condition",
        "8,901",
        "created_at &lt; &#x27;",
        "manage.py run_show",
    ):
        assert shown in text, shown
    address = reverse("admin:retention_retentionpolicy_change", args=[policy.pk])
    assert f'<a href="{address}">events</a>' in text
    assert "&quot;policy&quot;" not in text
    assert "{&#x27;" not in text


def test_a_failed_run_says_why_and_what_to_do(asker: User, policy: RetentionPolicy) -> None:
    text = page(signed_in(asker), make_run(policy, asker, S.FAILED))
    assert "The disk is full." in text
    assert "Mend the cause, then resume the run" in text
    looking = page(signed_in(person("a", role="auditor")), Run.objects.get())
    assert "An operator has to mend the cause" in looking


def test_the_log_is_shown_newest_first_and_in_pages(asker: User, policy: RetentionPolicy) -> None:
    run = make_run(policy, asker)
    for number in range(30):
        run_log(run, f"Line {number:02d}.")
    text = page(signed_in(asker), run)
    assert text.index("Line 29.") < text.index("Line 10.")
    assert "Line 09." not in text
    assert "Line 09." in page(signed_in(asker), run, "?log=2")
    assert "Line 29." in page(signed_in(asker), run, "?log=nonsense")


@pytest.mark.parametrize(
    ("before", "decision", "after"),
    [
        (S.QUEUED, "pause", S.PAUSED),
        (S.RUNNING, "pause", S.PAUSING),
        (S.PAUSING, "resume", S.RUNNING),
        (S.PAUSED, "resume", S.QUEUED),
        (S.FAILED, "resume", S.QUEUED),
        (S.PAUSED, "cancel", S.CANCELLED),
        (S.AWAITING_APPROVAL, "cancel", S.CANCELLED),
    ],
)
def test_a_decision_is_asked_for_then_done_and_logged_with_its_reason(
    asker: User, policy: RetentionPolicy, before: S, decision: str, after: S
) -> None:
    run = make_run(policy, asker, before)
    client = signed_in(asker)
    asked = client.get(reverse("admin:operations_run_decide", args=[run.pk, decision])).text
    assert 'name="reason"' in asked
    run.refresh_from_db()
    assert run.current is before
    decide(client, run, decision, reason="the release")
    run.refresh_from_db()
    assert run.current is after
    last = run.events.last()
    assert last is not None
    assert "by asker. Reason: the release" in last.message
    assert LogEntry.objects.get().user == asker


@pytest.mark.parametrize("given", [{}, {"reason": ""}, {"reason": "   "}])
def test_without_a_reason_nothing_happens(
    asker: User, policy: RetentionPolicy, given: dict[str, str]
) -> None:
    run = make_run(policy, asker, S.QUEUED)
    answer = decide(signed_in(asker), run, "cancel", **given)
    assert "This field is required." in answer.text
    run.refresh_from_db()
    assert run.current is S.QUEUED


def test_another_person_approves_the_plan_they_were_shown_with_their_own_password(
    asker: User,
    policy: RetentionPolicy,
    sent: Any,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    run = make_run(policy, asker, S.AWAITING_APPROVAL)
    officer = person("officer", role="officer", password=PASSWORD)
    client = signed_in(officer)
    asked = client.get(reverse("admin:operations_run_decide", args=[run.pk, "approve"])).text
    assert "1,234,567" in asked
    assert run.plan_hash in asked
    with django_capture_on_commit_callbacks(execute=True):
        decide(client, run, "approve", reason="checked", password=PASSWORD, plan_hash=run.plan_hash)
    run.refresh_from_db()
    assert (run.current, run.decided_by, run.decision) == (S.QUEUED, officer, "approved")
    assert run.decision_reason == "checked"
    assert sent.get(timeout=5).payload[1] == {"run_id": run.pk}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"password": "another password"}, "That is not your password."),
        ({"password": ""}, "This field is required."),
        ({"plan_hash": "0" * 64}, "not the one that was shown"),
        ({"plan_hash": ""}, "not the one that was shown"),
    ],
)
def test_an_approval_needs_the_approvers_password_and_the_very_plan(
    asker: User, policy: RetentionPolicy, wrong: dict[str, str], told: str
) -> None:
    run = make_run(policy, asker, S.AWAITING_APPROVAL)
    client = signed_in(person("officer", role="officer", password=PASSWORD))
    given = {"reason": "checked", "password": PASSWORD, "plan_hash": run.plan_hash, **wrong}
    assert told in decide(client, run, "approve", **given).text
    run.refresh_from_db()
    assert run.current is S.AWAITING_APPROVAL


@pytest.mark.parametrize("decision", ["approve", "refuse"])
def test_nobody_approves_or_refuses_what_they_asked_for(
    policy: RetentionPolicy, decision: str
) -> None:
    boss = person("boss", password=PASSWORD, is_superuser=True)
    run = make_run(policy, boss, S.AWAITING_APPROVAL)
    given = {"reason": "mine", "password": PASSWORD, "plan_hash": run.plan_hash}
    answer = decide(signed_in(boss), run, decision, **given)
    assert "another person has to approve or refuse it" in answer.text
    run.refresh_from_db()
    assert run.current is S.AWAITING_APPROVAL


def test_a_refused_run_is_cancelled_and_says_who_and_why(
    asker: User, policy: RetentionPolicy
) -> None:
    run = make_run(policy, asker, S.AWAITING_APPROVAL)
    client = signed_in(person("officer", role="officer", password=PASSWORD))
    given = {"reason": "too many", "password": PASSWORD, "plan_hash": run.plan_hash}
    text = decide(client, run, "refuse", **given).text
    run.refresh_from_db()
    assert run.current is S.CANCELLED
    assert "Refused by" in text
    assert "too many" in text


def test_what_the_state_does_not_allow_is_said_and_not_an_error(
    asker: User, policy: RetentionPolicy
) -> None:
    run = make_run(policy, asker, S.SUCCEEDED)
    answer = decide(signed_in(asker), run, "pause", reason="late")
    assert answer.status_code == 200
    assert "is succeeded: there is nothing to pause now." in answer.text


def test_a_run_that_does_not_exist_is_said(asker: User) -> None:
    client = signed_in(asker)
    address = reverse("admin:operations_run_progress", args=[4711])
    assert client.get(address).status_code == 404
    missing = reverse("admin:operations_run_change", args=[4711])
    assert "doesn’t exist" in client.get(missing, follow=True).text


def test_the_progress_is_json_that_is_never_kept(asker: User, policy: RetentionPolicy) -> None:
    run = make_run(policy, asker, S.RUNNING, done=617_283, active_seconds=10)
    answer = signed_in(asker).get(reverse("admin:operations_run_progress", args=[run.pk]))
    assert "no-store" in answer["Cache-Control"]
    found = answer.json()
    regions = found.pop("regions")
    assert found == {
        "state": "running",
        "colour": "info",
        "ended": False,
        "again_after": 1,
        "done": 617_283,
        "total": 1_234_567,
        "unit": "rows",
        "percent": 49,
        "rate": 61728.3,
        "eta_seconds": 10.0,
        "summary": "Running, 49 percent",
    }
    assert buttons(regions["actions"], run) == {"pause", "cancel"}
    assert "617,283" in regions["figures"]


def test_the_progress_of_an_ended_run_says_so(asker: User, policy: RetentionPolicy) -> None:
    run = make_run(policy, asker, S.SUCCEEDED, done=1_234_567)
    found = signed_in(asker).get(reverse("admin:operations_run_progress", args=[run.pk])).json()
    assert (found["ended"], found["percent"]) == (True, 100)
    assert "data-run-progress" not in page(signed_in(asker), run)


def queries(client: Client, address: str) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(address).status_code == 200
    return [each["sql"] for each in captured.captured_queries]


def test_the_list_asks_as_much_for_many_runs_as_for_few_and_reads_no_documents(
    policy: RetentionPolicy,
) -> None:
    client = signed_in(person("o", role="operator"))
    address = reverse("admin:operations_run_changelist")
    askers = [person(f"asker{number}") for number in range(20)]
    make_run(policy, askers[0], S.SUCCEEDED)
    few = queries(client, address)
    for each in askers:
        make_run(policy, each, S.SUCCEEDED)
    many = queries(client, address)
    assert len(many) == len(few) <= 12
    for document in ('"plan"', '"parameters"', '"cursor"', '"result"'):
        assert not [text for text in many if f'"operations_run".{document}' in text]


def test_a_list_never_counts_the_whole_table(asker: User, policy: RetentionPolicy) -> None:
    make_run(policy, asker)
    found = queries(signed_in(asker), reverse("admin:operations_run_changelist"))
    counting = [text for text in found if "COUNT(" in text and "operations_run" in text]
    assert counting
    # What waits for approval is counted for the sidebar, of which there are few.
    assert all("LIMIT 10000" in text or "awaiting_approval" in text for text in counting)


def test_the_page_and_its_progress_ask_little(asker: User, policy: RetentionPolicy) -> None:
    run = make_run(policy, asker, S.RUNNING)
    for number in range(30):
        run_log(run, f"Line {number}.")
    client = signed_in(asker)
    assert len(queries(client, reverse("admin:operations_run_change", args=[run.pk]))) <= 12
    assert len(queries(client, reverse("admin:operations_run_progress", args=[run.pk]))) <= 9


@pytest.mark.parametrize(
    "filters", ["?state__exact=paused", "?kind=purge", "?q=events", "?q=asker"]
)
def test_runs_are_found_by_state_kind_subject_and_person(
    asker: User, policy: RetentionPolicy, filters: str
) -> None:
    make_run(policy, asker, S.PAUSED)
    text = signed_in(asker).get(reverse("admin:operations_run_changelist") + filters).text
    assert "Purge of events" in text

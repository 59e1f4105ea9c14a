"""Policies in the admin: what they say, a purge asked for, every version."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from operations.models import Run
from operations.runs.states import RunState
from retention.admin import policy_list
from retention.models import PolicyMeasure, RetentionPolicy
from retention.selectors.policies import POLICY_CHANGE
from tests.console import make_archive, make_policy, make_run, make_table, person, signed_in

pytestmark = pytest.mark.django_db

READ_IS_NULL = {"column": "read_at", "operator": "is null"}


@pytest.fixture
def operator() -> Client:
    return signed_in(person("operator", role="operator"))


@pytest.fixture
def events() -> RetentionPolicy:
    make_table(rows=20)
    return make_policy()


def page(client: Client, policy: RetentionPolicy) -> str:
    return client.get(reverse("admin:retention_retentionpolicy_change", args=[policy.pk])).text


def run_now(client: Client, policy: RetentionPolicy, **given: str) -> str:
    address = reverse("admin:retention_retentionpolicy_run", args=[policy.pk])
    # Every one of its rows is due: that is asked twice.
    return client.post(address, {"confirm": "app.events", **given}, follow=True).text


def test_a_policy_says_in_one_sentence_what_it_keeps_and_what_becomes_of_it(
    operator: Client,
) -> None:
    policy = make_policy(
        "read ones",
        keep_hours=30 * 24,
        age_column="read_at",
        keep_condition=READ_IS_NULL,
        archive_first=True,
        archive_days=365,
    )
    assert (
        "Rows of app.events are kept for 30 days after read_at, unless read_at IS NULL. "
        "Then they are archived for 365 days, then destroyed."
    ) in page(operator, policy)


def test_a_policy_that_keeps_for_ever_says_so(operator: Client) -> None:
    policy = make_policy("all", keep_hours=None, age_column="")
    text = page(operator, policy)
    assert "Rows of app.events are kept for ever." in text
    assert "Run now" not in text


def test_a_policy_with_soft_deletion_says_what_becomes_of_the_bin(operator: Client) -> None:
    policy = make_policy(
        "soft", soft_delete=True, keep_hours=None, age_column="", archive_first=False
    )
    text = page(operator, policy)
    assert (
        "Rows of app.events are kept for ever, unless they are deleted. What is in the bin is "
        "destroyed when its grace is over." in text
    )
    assert "Run now" in text
    listed = operator.get(reverse("admin:retention_retentionpolicy_changelist")).text
    assert "into the bin, then destroyed" in listed


def test_its_runs_and_archives_are_named_and_linked(operator: Client) -> None:
    policy = make_policy()
    run = make_run(policy, person("asker"), RunState.SUCCEEDED, done=17)
    archive = make_archive(run, policy)
    text = page(operator, policy)
    assert reverse("admin:operations_run_change", args=[run.pk]) in text
    assert reverse("admin:retention_archive_change", args=[archive.pk]) in text
    assert archive.name in text


def test_only_who_controls_runs_or_proposes_terms_may_start_one(events: RetentionPolicy) -> None:
    address = reverse("admin:retention_retentionpolicy_run", args=[events.pk])
    for role in ("support", "auditor"):
        client = signed_in(person(role, role=role))
        assert "Run now" not in page(client, events)
        assert client.get(address).status_code == 403
        assert client.post(address, {"reason": "now"}).status_code == 403
    assert not Run.objects.exists()
    officer = signed_in(person("officer", role="officer"))
    assert "Run now" in page(officer, events)
    run_now(officer, events, reason="approved today")
    assert str(Run.objects.get().requester) == "officer"


def test_before_a_purge_one_sees_what_it_would_do(
    operator: Client, events: RetentionPolicy
) -> None:
    address = reverse("admin:retention_retentionpolicy_run", args=[events.pk])
    text = operator.get(address).text
    assert "Rows due" in text
    assert "<dd>20<small>" in text
    assert "AND" not in text[text.index("c-sql") : text.index("c-sql") + 80]
    assert not Run.objects.exists()


def test_a_purge_that_would_empty_the_table_is_asked_twice(
    operator: Client, events: RetentionPolicy
) -> None:
    address = reverse("admin:retention_retentionpolicy_run", args=[events.pk])
    text = operator.get(address).text
    assert "Every row of app.events is due (20): the table would be empty." in text
    assert "Type app.events" in text
    text = run_now(operator, events, reason="now", confirm="events")
    assert "Type app.events, as it is written here. Nothing was done." in text
    assert not Run.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO app.events VALUES (999, now())")
    assert "Type app.events" not in operator.get(address).text


def test_a_purge_asked_for_with_a_reason_is_queued_and_shown(
    operator: Client, events: RetentionPolicy
) -> None:
    text = run_now(operator, events, reason="the tables are full")
    run = Run.objects.get()
    assert (run.current, run.total, run.reason) == (RunState.QUEUED, 20, "the tables are full")
    assert str(run.requester) == "operator"
    assert "the tables are full" in text
    assert f"Run {run.pk}" in text


def test_a_purge_without_a_reason_is_not_made(operator: Client, events: RetentionPolicy) -> None:
    assert "This field is required." in run_now(operator, events, reason="")
    assert not Run.objects.exists()


def test_a_second_purge_leads_to_the_one_that_is_open(
    operator: Client, events: RetentionPolicy
) -> None:
    run_now(operator, events, reason="first")
    address = reverse("admin:retention_retentionpolicy_run", args=[events.pk])
    assert "There is a run already" in operator.get(address).text
    run_now(operator, events, reason="second")
    assert Run.objects.count() == 1


def test_a_policy_that_cannot_be_carried_out_says_why_and_is_no_error(operator: Client) -> None:
    waiting = make_policy("soft", soft_delete=True)
    make_table()
    assert "softdelete_enable" in run_now(operator, waiting, reason="now")
    gone = make_policy("gone", table_name="gone")
    address = reverse("admin:retention_retentionpolicy_run", args=[gone.pk])
    answer = operator.get(address, follow=True)
    assert answer.status_code == 200
    assert "gone" in answer.text
    assert not Run.objects.exists()


def test_every_version_says_what_changed_by_whom_and_why(operator: Client) -> None:
    policy = make_policy()
    policy.keep_hours, policy.version = 60 * 24, 2
    policy.keep_condition = READ_IS_NULL
    policy._history_user = person("officer")  # type: ignore[attr-defined]
    policy._change_reason = "The regulator asked"  # type: ignore[attr-defined]
    policy.save()
    text = operator.get(reverse("admin:retention_retentionpolicy_history", args=[policy.pk])).text
    for shown in (
        "Version 2",
        "by officer",
        "The regulator asked",
        "<dt>Kept for</dt><dd><del>365</del> <ins>60</ins> days</dd>",
        "<ins>read_at IS NULL</ins>",
        "Version 1",
    ):
        assert shown in text, shown
    first = policy.history.earliest()
    address = reverse("admin:retention_retentionpolicy_simple_history", args=[policy.pk, first.pk])
    assert "kept for 365 days" in operator.get(address).text


def test_any_two_versions_are_compared_word_by_word(operator: Client) -> None:
    policy = make_policy(legal_basis="Books are kept for ten years by law.")
    for basis in ("Books are kept for <ten> years by law.", "Books are kept for eight years."):
        policy.legal_basis, policy.version = basis, policy.version + 1
        policy.save()
    _, _, first = policy.history.all()
    address = reverse("admin:retention_retentionpolicy_compare", args=[policy.pk])
    last_change = operator.get(address).text
    assert "kept for <del>&lt;ten&gt;</del> <ins>eight</ins> years" in last_change
    whole_change = operator.get(address, {"old": first.pk}).text
    assert "kept for <del>ten</del> <ins>eight</ins> years<del> by law</del>." in whole_change
    nothing = operator.get(address, {"old": first.pk, "new": first.pk}).text
    assert "Nothing: both say the same." in nothing


def test_an_old_version_cannot_be_put_back_by_posting_to_its_page() -> None:
    policy = make_policy()
    policy.keep_hours = 60 * 24
    policy.save()
    first = policy.history.earliest()
    address = reverse("admin:retention_retentionpolicy_simple_history", args=[policy.pk, first.pk])
    for client in (
        signed_in(person("auditor", role="auditor")),
        signed_in(person("boss", is_superuser=True)),
    ):
        assert client.post(address, {}).status_code == 403
    policy.refresh_from_db()
    assert policy.keep_hours == 60 * 24


def measured(policy: RetentionPolicy, **found: Any) -> None:
    given = {"due_rows": 0, "on": timezone.localdate(), "at": timezone.now(), **found}
    PolicyMeasure.objects.create(policy=policy, **given)


def test_the_list_says_how_each_policy_stands(operator: Client) -> None:
    asker = person("asker")
    runs = make_policy("runs")
    make_run(runs, asker, RunState.SUCCEEDED)
    measured(runs, due_rows=12_345, estimated=True)
    measured(runs, due_rows=7, on=timezone.localdate() - timedelta(days=1))
    measured(make_policy("lost", owner="the desk"), due_rows=None, problem="no such table")
    make_policy("off", enabled=False)
    make_policy("ever", keep_hours=None, age_column="", schema_name="hr")
    waits = make_policy("waits")
    make_run(waits, asker, RunState.AWAITING_APPROVAL, kind=POLICY_CHANGE)
    address = reverse("admin:retention_retentionpolicy_changelist")

    def states(**filters: str) -> dict[str, str]:
        found = operator.get(address, filters).context["cl"].result_list
        return {
            policy.name: str(re.sub("<[^>]*>", "", policy_list.state_badge(policy)))
            for policy in found
        }

    assert states() == {
        "ever": "Keeps for ever",
        "lost": "Does not fit its table",
        "off": "Off",
        "runs": "In force",
        "waits": "Waits for approval",
    }
    text = operator.get(address).text
    assert "about 12,345" in text
    assert states(state="trouble").keys() == {"lost"}
    assert states(state="waits").keys() == {"waits"}
    assert states(state="off").keys() == {"off"}
    assert states(state="ever").keys() == {"ever"}
    assert states(schema_name="hr").keys() == {"ever"}
    assert states(owner="the desk").keys() == {"lost"}


def test_the_list_asks_as_much_for_many_policies_as_for_few(operator: Client) -> None:
    asker = person("asker")
    address = reverse("admin:retention_retentionpolicy_changelist")

    def asked() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert operator.get(address).status_code == 200
        return len(captured)

    make_run(make_policy("first"), asker, RunState.SUCCEEDED)
    few = asked()
    for number in range(20):
        make_run(make_policy(f"policy {number}"), asker, RunState.FAILED)
    assert asked() == few <= 12

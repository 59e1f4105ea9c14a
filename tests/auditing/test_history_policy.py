"""Each history gets a policy, which is in force when another person has approved it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from auditing.models import TrackedTable
from auditing.services.track import table_track
from auditing.services.untrack import table_untrack
from operations.copies import remaining_copies
from operations.models import Run
from operations.services.actors import system_user
from operations.services.run_approve import run_approve_and_execute
from operations.services.runs import run_refuse
from retention.models import RetentionPolicy
from retention.services.purge_nightly import purge_nightly
from tests.retention.holding import officer, place

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def orders(governed: str, execute: Execute, person: User) -> TrackedTable:
    execute("CREATE TABLE app.orders (id bigint PRIMARY KEY, total int)")
    execute("INSERT INTO app.orders VALUES (1, 1)")
    return table_track("app.orders", actor=person, reason="the law")


def test_the_night_proposes_it_once_and_another_person_approves(orders: TrackedTable) -> None:
    for _ in range(2):
        assert purge_nightly(requester=system_user("scheduler")) == []
    policy = RetentionPolicy.objects.get()
    assert (policy.name, policy.table, policy.enabled) == (
        "history of app.orders",
        orders.history,
        False,
    )
    run = Run.objects.get(kind="policy_change")
    assert (run.state, str(run.requester)) == ("awaiting_approval", "scheduler")
    run_approve_and_execute(run_id=run.pk, approver=officer("grace"), reason="as agreed")
    policy.refresh_from_db()
    assert (policy.enabled, policy.age_column, policy.keep_hours, policy.archive_first) == (
        True,
        "at",
        24 * 730,
        True,
    )
    # Nothing is due for two years, and nothing is touched.
    assert len(purge_nightly(requester=system_user("scheduler"))) == 1


def test_one_that_somebody_refused_is_not_proposed_again(orders: TrackedTable) -> None:
    purge_nightly(requester=system_user("scheduler"))
    waiting = Run.objects.get(kind="policy_change")
    run_refuse(run_id=waiting.pk, approver=officer("grace"), reason="no")
    purge_nightly(requester=system_user("scheduler"))
    assert Run.objects.filter(kind="policy_change").count() == 1


def test_a_table_that_is_tracked_again_has_a_second_history_with_a_policy_of_its_own(
    orders: TrackedTable, person: User
) -> None:
    table_untrack(orders, actor=person, reason="a mistake")
    again = table_track("app.orders", actor=person, reason="after all")
    purge_nightly(requester=system_user("scheduler"))
    assert {policy.name: policy.table for policy in RetentionPolicy.objects.all()} == {
        "history of app.orders": orders.history,
        str(again.history): again.history,
    }


def test_the_command_tells_what_it_proposed(orders: TrackedTable) -> None:
    said = io.StringIO()
    call_command("audit_policies", "--json", "--dry-run", stdout=said)
    [told] = json.loads(said.getvalue())["policies"]
    assert not RetentionPolicy.objects.exists()
    call_command("audit_policies", "--json", stdout=io.StringIO())
    assert [policy.name for policy in RetentionPolicy.objects.all()] == [told["name"]]


def test_previews_and_certificates_tell_what_becomes_of_the_history(
    orders: TrackedTable, person: User, execute: Execute
) -> None:
    def told(table: TrackedTable = orders) -> list[str]:
        return remaining_copies(table.table, using="default")[3:]

    assert told() == [
        (
            "The audit history keeps no version of the rows: those in history.app__orders go with "
            "them, in the same transaction."
        )
    ]
    place("2026-1", "history.app__orders")
    assert told() == [
        (
            "The audit history keeps the versions of the rows, and their deletion, because "
            "history.app__orders is protected by hold 2026-1."
        )
    ]
    table_untrack(orders, actor=person, reason="enough")
    assert told() == [
        (
            "The versions in history.app__orders stay until their own term: the table was audited "
            f"there until {timezone.localtime():%Y-%m-%d}."
        )
    ]
    assert remaining_copies(orders.history, using="default")[3:] == [
        "Each row's newest version is carried forward into the next month that stays."
    ]
    execute("CREATE TABLE app.plain (id int)")
    other = TrackedTable(schema_name="app", table_name="plain")
    assert told(other) == ["The console keeps no history of this table's rows: it is not audited."]

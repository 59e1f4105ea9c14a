"""Tables that no policy speaks of and policies that drifted are found, each with what to do."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from operations.catalogue.types import TableName
from operations.conditions.structure import Comparison
from operations.models import Alert
from operations.services.actors import system_user
from retention.services.policy_check import policy_check
from retention.services.purge_nightly import purge_nightly

from .agreeing import agreed, propose
from .purging import make_policy

Execute = Callable[..., Any]


@pytest.fixture(autouse=True)
def events(governed: str, execute: Execute) -> None:
    execute("CREATE TABLE app.events (id bigint PRIMARY KEY, created_at timestamptz, kind text)")


def found() -> list[tuple[str, str, str]]:
    """Kind, table and policy, of the schema `app`."""
    return [
        (each.kind, each.table, each.policy)
        for each in policy_check()
        if each.table.startswith("app.")
    ]


def test_every_table_of_users_needs_a_policy_and_for_ever_is_one(
    execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.logs (id int, at date) PARTITION BY RANGE (at)")
    execute("CREATE TABLE app.logs_1 PARTITION OF app.logs DEFAULT")
    execute("CREATE TEMPORARY TABLE passing (id int)")
    assert found() == [("no_policy", "app.events", ""), ("no_policy", "app.logs", "")]
    agreed(person)
    make_policy("logs", age_column="", keep_hours=None)
    assert found() == []
    # A policy for each partition serves as well.
    execute("CREATE TABLE app.more (id int, at date) PARTITION BY RANGE (at)")
    execute("CREATE TABLE app.more_1 PARTITION OF app.more DEFAULT")
    assert found() == [("no_policy", "app.more", "")]
    make_policy("more_1", age_column="at")
    assert found() == []


def test_a_policy_that_is_not_in_force_leaves_its_table_without_one(person: User) -> None:
    answer = propose(person)
    (finding,) = [each for each in policy_check() if each.table == "app.events"]
    assert finding.kind == "not_in_force"
    assert answer.run is not None
    assert f"run_approve {answer.run.pk}" in finding.remedy
    answer.run.delete()
    (finding,) = [each for each in policy_check() if each.table == "app.events"]
    assert "policy_enable events" in finding.remedy


@pytest.mark.parametrize(
    ("change", "kind", "what"),
    [
        ("ALTER TABLE app.events RENAME TO happenings", "drifted", "no table app.events"),
        ("ALTER TABLE app.events DROP COLUMN created_at", "drifted", "no column 'created_at'"),
        (
            "ALTER TABLE app.events ALTER created_at TYPE text",
            "drifted",
            "created_at is a text, not a date",
        ),
        ("ALTER TABLE app.events DROP COLUMN kind", "drifted", "no column kind"),
        (
            "ALTER TABLE app.events ALTER kind TYPE int USING 1",
            "drifted",
            "invalid input syntax for type integer",
        ),
        ("DROP TABLE app.notes", "drifted", "no table app.notes"),
        (
            "ALTER TABLE app.notes DROP CONSTRAINT notes_event_fkey",
            "drifted",
            "app.notes refers neither to app.events nor",
        ),
        (
            "CREATE TABLE app.tags (event bigint REFERENCES app.events ON DELETE CASCADE)",
            "refused",
            "would cascade into app.tags",
        ),
    ],
)
def test_a_schema_that_changed_under_a_policy_is_found_with_a_remedy(
    execute: Execute, person: User, change: str, kind: str, what: str
) -> None:
    execute("CREATE TABLE app.notes (id int PRIMARY KEY, event bigint REFERENCES app.events)")
    make_policy("notes", age_column="", keep_hours=None)
    policy = agreed(
        person,
        keep_condition=Comparison("kind", "=", "k"),
        dependents=(TableName("app", "notes"),),
    )
    assert found() == []

    execute(change)

    mine = [each for each in policy_check() if each.policy == "events"]
    assert {each.kind for each in mine} == {kind}
    assert what in mine[0].what
    assert mine[0].remedy.endswith(".") or "manage.py" in mine[0].remedy
    # What is out of force harms nothing.
    propose(person, policy, enabled=False)
    assert {each.kind for each in policy_check() if each.policy == "events"} <= {"not_in_force"}


def test_the_night_raises_an_alert_for_a_policy_that_drifted(
    execute: Execute, person: User
) -> None:
    agreed(person, keep_condition=Comparison("kind", "=", "k"))
    execute("ALTER TABLE app.events DROP COLUMN kind")
    assert purge_nightly(requester=system_user("scheduler")) == []
    alert = Alert.objects.get(resolved_at=None)
    assert alert.key == "purge-refused:events"
    assert "no column kind" in alert.summary


def test_the_command_ends_with_1_and_a_document_when_something_is_found(person: User) -> None:
    out = io.StringIO()
    with pytest.raises(CommandError) as error:
        call_command("policy_check", "--json", stdout=out)
    assert error.value.returncode == 1
    document = json.loads(out.getvalue())
    assert document["ok"] is False
    (finding,) = [each for each in document["findings"] if each["table"] == "app.events"]
    assert (finding["kind"], finding["policy"]) == ("no_policy", None)
    agreed(person)
    out = io.StringIO()
    call_command("policy_check", stdout=out)
    assert "1 policy covers every table" in out.getvalue()

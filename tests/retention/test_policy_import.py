"""Policies are read from the plain shape, or refused with the reason."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from retention.exceptions import PolicyRefused
from retention.models import RetentionPolicy
from retention.presenting import keep_text
from retention.services.policy_import import policy_import
from tests.approving import in_force

Execute = Callable[..., list[tuple[Any, ...]]]

SPEC = [
    {"table": "users", "retentionDays": -1, "softDelete": True, "archiveBeforeDelete": False},
    {"table": "sessions", "retentionDays": 90, "softDelete": False, "archiveBeforeDelete": False},
    {"table": "audit_logs", "retentionDays": 730, "softDelete": False, "archiveBeforeDelete": True},
    {
        "table": "notifications",
        "retentionDays": 30,
        "softDelete": False,
        "archiveBeforeDelete": False,
        "excludeCondition": "read_at IS NULL",
    },
]


@pytest.fixture
def shop(governed: str, execute: Execute) -> None:
    execute("CREATE TABLE app.users (id int PRIMARY KEY, created_at timestamptz)")
    execute("CREATE TABLE app.sessions (id int PRIMARY KEY, seen timestamptz, created_at date)")
    execute("CREATE TABLE app.audit_logs (id int PRIMARY KEY, logged timestamp)")
    execute(
        "CREATE TABLE app.notifications (id int PRIMARY KEY, created_at timestamptz,"
        " read_at timestamptz, flagged boolean)"
    )


def test_the_shape_of_the_specification_is_read(shop: None, person: User) -> None:
    imported = policy_import(entries=SPEC, actor=person)

    assert [(each.change, bool(each.run)) for each in imported] == [
        ("created", True),  # For ever, and what is in the bin is destroyed.
        ("created", True),
        ("created", True),
        ("created", True),
    ]
    assert not RetentionPolicy.objects.filter(enabled=True).exists()
    in_force(imported)
    found = {
        p.name: (
            str(p.table),
            p.keep_hours,
            p.age_column,
            p.archive_first,
            p.soft_delete,
            keep_text(p),
        )
        for p in RetentionPolicy.objects.all()
    }
    assert found == {
        "users": ("app.users", None, "", False, True, ""),
        "sessions": ("app.sessions", 90 * 24, "created_at", False, False, ""),
        # The only date or timestamp.
        "audit_logs": ("app.audit_logs", 730 * 24, "logged", True, False, ""),
        # The column that the condition keeps rows for while it is NULL.
        "notifications": ("app.notifications", 720, "read_at", False, False, "read_at IS NULL"),
    }


def test_the_same_file_again_changes_nothing_and_another_term_is_a_new_version(
    shop: None, person: User
) -> None:
    in_force(policy_import(entries=SPEC, actor=person))
    again = policy_import(entries=SPEC, actor=person)
    assert {(each.change, each.run) for each in again} == {("unchanged", None)}

    longer = policy_import(entries=[{"table": "sessions", "retentionDays": 120}], actor=person)

    policy = RetentionPolicy.objects.get(name="sessions")
    assert [each.change for each in longer] == ["changed"]
    assert (policy.keep_hours, policy.version) == (2880, 3)
    assert list(policy.history.order_by("history_id").values_list("keep_hours", "enabled")) == [
        (2160, False),
        (2160, True),
        (2880, True),
    ]
    assert policy.history.latest().history_user == person


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"retentionDays": 1}, "table is missing"),
        ({"table": "sessions"}, "retentionDays is missing"),
        ({"table": "sessions", "retentionDays": "90"}, "whole number"),
        ({"table": "sessions", "retentionDays": True}, "whole number"),
        ({"table": "sessions", "retentionDays": -2}, "-1 (for ever), 0 or more"),
        ({"table": "sessions", "retentionDays": 1, "softDelete": "no"}, "true or false"),
        ({"table": "sessions", "retentionDays": 1, "retentionHours": 3}, "not both"),
        ({"table": "sessions", "retentionHours": -1}, "0 or more"),
        ({"table": "sessions", "retentionDays": 1, "retentionWeeks": 3}, "not known"),
        ({"table": "sessions", "retentionDays": 365_001}, "365,000 days"),
        ({"table": "sessions", "retentionDays": 1, "archiveDays": 3}, "nothing is archived"),
        ({"table": "sessions", "retentionDays": 1, "dependents": "users"}, "a list of tables"),
        ({"table": "sessions", "retentionDays": 1, "dependents": [1]}, "each a text"),
        ({"table": "sessions", "retentionDays": 1, "dependents": ["gone"]}, "gone"),
        ({"table": "sessions", "retentionDays": 1, "dependents": ["users"]}, "refers neither to"),
        ({"table": "sessions", "retentionDays": 1, "name": "two\nlines"}, "policy's name"),
        ({"table": "sessions", "retentionDays": 1, "owner": "a" * 201}, "owner"),
        ({"table": "users", "retentionDays": 2}, "an earlier entry"),
        ({"table": "nowhere", "retentionDays": 1}, "nowhere"),
        ({"table": "sessions", "retentionDays": 1, "ageColumn": "id"}, "not a date"),
        ({"table": "sessions", "retentionDays": 1, "ageColumn": "gone"}, "no column"),
        ({"table": "sessions", "retentionDays": 1, "excludeCondition": "true; DROP"}, "sessions"),
        ({"table": "sessions", "retentionDays": 1, "excludeCondition": "gone IS NULL"}, "gone"),
        ({"table": "sessions", "retentionDays": 1, "excludeCondition": "id = 'x'"}, "id"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_reason_and_nothing_is_stored(
    shop: None, person: User, entry: dict[str, Any], told: str
) -> None:
    good = {"table": "users", "retentionDays": 1}
    with pytest.raises(PolicyRefused, match="Policy 2") as refused:
        policy_import(entries=[good, entry], actor=person)
    assert told in str(refused.value)
    assert "Policy 2" in str(refused.value)
    assert not RetentionPolicy.objects.exists()


def test_an_age_that_is_not_clear_is_asked_for(shop: None, execute: Execute, person: User) -> None:
    execute("CREATE TABLE app.visits (id int PRIMARY KEY, came timestamptz, went timestamptz)")
    with pytest.raises(PolicyRefused, match="came, went"):
        policy_import(entries=[{"table": "visits", "retentionDays": 1}], actor=person)
    entry = {"table": "visits", "retentionDays": 1, "ageColumn": "went"}
    assert policy_import(entries=[entry], actor=person)[0].policy.age_column == "went"


def test_an_ambiguous_table_is_refused_and_named_in_full_it_is_taken(
    shop: None, execute: Execute, person: User
) -> None:
    execute("CREATE SCHEMA app2")
    try:
        execute("CREATE TABLE app2.sessions (id int PRIMARY KEY, created_at timestamptz)")
        with pytest.raises(PolicyRefused, match=r"app2?\.sessions.*app2?\.sessions"):
            policy_import(entries=[{"table": "sessions", "retentionDays": 1}], actor=person)
        entries = [
            {"table": "app.sessions", "retentionDays": 1},
            {"table": "app2.sessions", "retentionDays": 2},
        ]
        imported = policy_import(entries=entries, actor=person)
        assert [each.policy.name for each in imported] == ["sessions", "app2.sessions"]
    finally:
        execute("DROP SCHEMA app2 CASCADE")


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_the_command_reads_both_forms_and_a_dry_run_stores_nothing(
    shop: None, tmp_path: Path, form: str
) -> None:
    file = tmp_path / f"policies.{form}"
    file.write_text(
        json.dumps(SPEC[1:2]) if form == "json" else "- table: sessions\n  retentionDays: 90\n"
    )

    def run(*options: str) -> dict[str, Any]:
        out = io.StringIO()
        call_command("policy_import", str(file), "--json", *options, stdout=out)
        document: dict[str, Any] = json.loads(out.getvalue())
        return document

    assert run("--dry-run")["policy"]["change"] == "created"
    assert not RetentionPolicy.objects.exists()
    document = run("--reason", "the new schedule")
    assert document["policy"]["table"] == "app.sessions"
    assert document["policy"]["retention_days"] == 90
    assert RetentionPolicy.objects.get().history.get().history_change_reason == "the new schedule"


@pytest.mark.parametrize("text", ["{", "just words", "- 1", "\tx: :"])
def test_a_file_that_is_no_list_of_policies_is_wrong_usage(
    db: None, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "policies"
    file.write_text(text)
    with pytest.raises(CommandError) as wrong:
        call_command("policy_import", str(file))
    assert wrong.value.returncode == 2

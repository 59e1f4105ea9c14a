"""The commands of policies, as an officer and another person use them one after the other."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from operations.models import Run
from retention import policy_answers
from retention.models import RetentionPolicy
from tests.approving import second_person
from tests.console import PASSWORD

from .agreeing import agreed, propose, waiting
from .purging import make_events

Type = Callable[..., None]


@pytest.fixture(autouse=True)
def events(governed: str, execute: Callable[..., Any]) -> None:
    make_events(execute, due=20, fresh=5, ageless=0)
    execute("CREATE TABLE app.logs (id int PRIMARY KEY, at timestamptz)")
    execute("INSERT INTO app.logs SELECT n, now() - interval '30 days' FROM generate_series(1,9) n")


@pytest.fixture
def other(db: None) -> User:
    user = second_person()
    user.set_password(PASSWORD)
    user.save()
    return user


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Type:
    """What stands on standard input, line by line."""
    return lambda *lines: monkeypatch.setattr("sys.stdin", io.StringIO("\n".join([*lines, ""])))


def told(name: str, *arguments: Any) -> str:
    out = io.StringIO()
    call_command(name, *map(str, arguments), stdout=out, stderr=io.StringIO())
    return out.getvalue()


def document(name: str, *arguments: Any) -> Any:
    return json.loads(told(name, *arguments, "--json"))


def refusal(name: str, *arguments: Any, code: int) -> str:
    with pytest.raises(CommandError) as error:
        told(name, *arguments)
    assert error.value.returncode == code
    return str(error.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policies.yaml"
    path.write_text(
        "- {table: events, retentionDays: 365, archiveBeforeDelete: true}\n"
        "- {table: logs, retentionHours: 36}\n"
    )
    return path


def test_one_imports_another_approves_with_one_password_and_the_purge_goes(
    file: Path, person: User, other: User, types: Type
) -> None:
    proposed = document("policy_import", file, "--user", "ada")
    runs = [each["run"] for each in proposed["policies"]]
    assert [each["change"] for each in proposed["policies"]] == ["created", "created"]
    assert [each["enabled"] for each in proposed["policies"]] == [False, False]
    assert [bool(each["cautions"]) for each in proposed["policies"]] == [False, True]
    # Nothing is in force, so nothing goes.
    assert document("purge_run")["runs"] == []

    types(PASSWORD, "app.logs")
    approved = document("run_approve", *runs, "--user", "second")

    assert [run["state"] for run in approved["runs"]] == ["succeeded", "succeeded"]
    purged = document("purge_run")["runs"]
    assert {run["subject"]: run["done"] for run in purged} == {"events": 20, "logs": 9}


def test_what_waits_is_told_with_what_to_do(file: Path) -> None:
    text = told("policy_import", file)
    runs = list(Run.objects.order_by("id"))
    assert f"created, waits for approval (run {runs[0].pk})" in text
    assert "events: It begins to remove rows of app.events: until now none were." in text
    assert "logs: CAUTION: Every row of app.logs is due (9)" in text
    assert f"manage.py run_approve {runs[0].pk} {runs[1].pk} --user NAME" in text
    again = told("policy_import", file)
    assert f"waits for approval (run {runs[0].pk})" in again
    assert Run.objects.count() == 2


def test_who_does_not_type_the_tables_name_approves_the_others_only(
    file: Path, other: User, types: Type
) -> None:
    runs = [each["run"] for each in document("policy_import", file)["policies"]]
    types(PASSWORD, "yes")
    message = refusal("run_approve", *runs, "--user", "second", code=3)
    assert message == f"Refused: {runs[1]}."
    enabled = RetentionPolicy.objects.values_list("name", "enabled")
    assert dict(enabled) == {"events": True, "logs": False}


def test_several_are_refused_with_one_password(file: Path, other: User, types: Type) -> None:
    runs = [each["run"] for each in document("policy_import", file)["policies"]]
    types(PASSWORD)
    done = document("run_refuse", *runs, "--user", "second", "--reason", "no basis")
    assert [run["state"] for run in done["runs"]] == ["cancelled", "cancelled"]
    assert not RetentionPolicy.objects.filter(enabled=True).exists()


def test_an_approval_that_came_too_late_is_refused(person: User, other: User, types: Type) -> None:
    policy = agreed(person)
    run = waiting(propose(person, policy, keep_hours=48))
    RetentionPolicy.objects.filter(pk=policy.pk).update(version=9)
    types(PASSWORD)
    message = refusal("run_approve", run.pk, "--user", "second", code=3)
    assert message == f"Approved, and not carried out: {run.pk}."


def test_at_a_terminal_the_proposer_types_the_tables_name_too(
    file: Path, types: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("logs\n"))
    assert "app.logs was not typed" in refusal("policy_import", file, code=3)
    assert not RetentionPolicy.objects.exists()
    monkeypatch.setattr("sys.stdin", Terminal("app.logs\n"))
    assert "waits for approval" in told("policy_import", file)


def test_who_waits_is_told_what_was_decided(
    file: Path, other: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decide(_seconds: float) -> None:
        for run in Run.objects.filter(state="awaiting_approval"):
            call_command("run_refuse", run.pk, "--user", "second", stderr=io.StringIO())

    monkeypatch.setattr(policy_answers.time, "sleep", decide)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n" * 2))
    message = refusal("policy_import", file, "--wait", code=3)
    assert "policy_change events: cancelled" in message


def test_enabling_waits_and_disabling_does_not(person: User) -> None:
    agreed(person)
    off = document("policy_disable", "events", "--reason", "an incident", "--user", "ada")
    assert (off["policy"]["change"], off["policy"]["enabled"]) == ("changed", False)
    dry = document("policy_enable", "events", "--dry-run")
    assert (dry["policy"]["waits"], dry["policy"]["run"]) == (True, None)
    on = document("policy_enable", "events")
    assert (on["policy"]["change"], on["policy"]["enabled"]) == ("waiting", False)
    record = RetentionPolicy.objects.get().history.latest()
    assert (str(record.history_user), record.history_change_reason) == ("ada", "an incident")


def test_policies_are_listed_and_shown_with_approval_and_what_waits(person: User) -> None:
    assert "No policies." in told("policy_list")
    policy = agreed(person)
    run = waiting(propose(person, policy, keep_hours=48))
    (listed,) = document("policy_list")["policies"]
    assert (listed["name"], listed["version"], listed["waiting_run"]) == ("events", 2, run.pk)
    assert f"in force; run {run.pk} waits" in told("policy_list")

    shown = document("policy_show", "app.events")["policy"]
    assert (shown["name"], shown["legal_basis"]) == ("events", "Article 5")
    assert (shown["approval"]["approved_by"], shown["approval"]["version"]) == ("second", 2)
    assert shown["waiting"]["id"] == run.pk
    assert shown["holds"] == []
    text = told("policy_show", "events")
    assert "kept for: 365 days -> 2 days" in text
    assert "archived for 365 days" in text
    assert "There is no policy 'gone'" in refusal("policy_show", "gone", code=2)


def test_what_is_exported_is_imported(person: User, tmp_path: Path) -> None:
    agreed(person)
    for name in ("policies.yaml", "policies.json"):
        path = tmp_path / name
        assert "1 policy written" in told("policy_export", "--output", path)
        assert document("policy_import", path)["policy"]["change"] == "unchanged"
    printed = tmp_path / "printed"
    printed.write_text(told("policy_export", "events"))
    assert printed.read_text() == (tmp_path / "policies.yaml").read_text()
    printed.write_text(told("policy_export", "events", "--json"))
    assert document("policy_import", printed)["policy"]["change"] == "unchanged"
    assert json.loads((tmp_path / "policies.json").read_text())[0]["archiveDays"] == 365
    nowhere = tmp_path / "nowhere" / "x.yaml"
    assert "cannot be written" in refusal("policy_export", "--output", nowhere, code=1)
    assert "no policy 'gone'" in refusal("policy_export", "gone", code=2)

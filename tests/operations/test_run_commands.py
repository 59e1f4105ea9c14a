"""manage.py run_list, run_show, run_pause, run_resume, run_cancel, run_approve, run_refuse."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command

from operations.management.commands import run_pause as pause_command
from operations.models import Run
from operations.services.run_execute import run_execute
from operations.services.runs import run_cancel
from operations.services.runs import run_pause as pause

from .sweeping import make_things, set_owner, sweep_create, sweeping, things

pytestmark = pytest.mark.usefixtures("governed", "kind")
PASSWORD = "another long password"


@pytest.fixture
def kind() -> Iterator[None]:
    with sweeping():
        make_things()
        yield


@pytest.fixture
def officer(db: None) -> User:
    user = User.objects.create_user("grace", password=PASSWORD)
    user.user_permissions.add(Permission.objects.get(codename="approve_run"))
    return user


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What stands on standard input."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def told(name: str, *arguments: Any) -> str:
    out = io.StringIO()
    call_command(name, *map(str, arguments), stdout=out, stderr=io.StringIO())
    return out.getvalue()


def document(name: str, *arguments: Any) -> Any:
    return json.loads(told(name, *arguments, "--json"))


def refused(name: str, *arguments: Any, code: int) -> str:
    """The message of a command that ends with `code`, the same as JSON."""
    with pytest.raises(CommandError) as error:
        told(name, *arguments)
    assert error.value.returncode == code
    out = io.StringIO()
    with pytest.raises(CommandError) as again:
        call_command(name, *map(str, arguments), "--json", stdout=out, stderr=io.StringIO())
    assert again.value.returncode == code
    if out.getvalue():
        assert json.loads(out.getvalue())["error"]["exit_code"] == code
    return str(error.value)


def state(run: Run) -> str:
    return Run.objects.get(pk=run.pk).state


def test_runs_are_listed_newest_first_and_found(person: User) -> None:
    assert "No runs." in told("run_list")
    first = sweep_create(person)
    run_cancel(run_id=first.pk, actor=person)
    second = sweep_create(person)
    assert [run["id"] for run in document("run_list")["runs"]] == [second.pk, first.pk]
    assert [run["id"] for run in document("run_list", "--open")["runs"]] == [second.pk]
    assert [run["id"] for run in document("run_list", "--state", "cancelled")["runs"]] == [first.pk]
    assert [run["id"] for run in document("run_list", "--limit", 1)["runs"]] == [second.pk]
    text = told("run_list")
    assert "things" in text
    assert "Cancelled" in text
    assert "ada" in text


def test_a_run_is_shown_with_plan_log_and_result(person: User) -> None:
    run = sweep_create(person)
    run_execute(run_id=run.pk)
    shown = document("run_show", run.pk)["run"]
    assert (shown["state"], shown["done"], shown["total"]) == ("succeeded", 10, 10)
    assert shown["result"] == {"outcome": "complete", "done": 10}
    assert shown["events"][0]["message"] == "Asked for by ada."
    assert f"Run {run.pk}: sweep things: succeeded, 10 of 10 things" in told("run_show", run.pk)


@pytest.mark.parametrize("name", ["run_show", "run_pause", "run_resume", "run_cancel"])
@pytest.mark.parametrize("number", ["4711", "x"])
def test_a_run_that_does_not_exist_is_wrong_usage(name: str, number: str) -> None:
    assert f"There is no run {number}. `manage.py run_list`" in refused(name, number, code=2)


def test_pause_resume_and_cancel(person: User) -> None:
    run = sweep_create(person)
    paused = document("run_pause", run.pk, "--user", "ada", "--reason", "lunch")
    assert paused["run"]["state"] == "paused"
    assert "Paused by ada. Reason: lunch" in told("run_show", run.pk)
    assert "it cannot become paused" in refused("run_pause", run.pk, code=3)
    assert document("run_resume", run.pk)["run"]["state"] == "queued"
    assert "only a paused or failed run" in refused("run_resume", run.pk, code=3)
    assert document("run_cancel", run.pk)["run"]["state"] == "cancelled"
    assert "it cannot be cancelled" in refused("run_cancel", run.pk, code=3)


def test_a_dry_run_changes_nothing(person: User) -> None:
    run = sweep_create(person)
    for name in ("run_pause", "run_cancel"):
        shown = document(name, run.pk, "--dry-run")
        assert (shown["dry_run"], shown["run"]["state"]) == (True, "queued")
        assert "Nothing was changed." in told(name, run.pk, "--dry-run")
    assert state(run) == "queued"
    assert run.events.count() == 3


def test_one_that_refuses_does_not_keep_the_others(person: User) -> None:
    runs = [sweep_create(person, subject=f"things {n}") for n in range(3)]
    pause(run_id=runs[1].pk, actor=person)
    out = io.StringIO()
    with pytest.raises(CommandError) as error:
        call_command("run_pause", *[str(run.pk) for run in runs], "--json", stdout=out)
    assert error.value.returncode == 3
    answer = json.loads(out.getvalue())
    assert [run["id"] for run in answer["runs"]] == [runs[0].pk, runs[2].pk]
    assert [each["run"] for each in answer["refused"]] == [runs[1].pk]
    assert {state(run) for run in runs} == {"paused"}


def test_all_pauses_every_queued_and_running_run(
    person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [sweep_create(person, subject=f"things {n}") for n in range(4)]
    Run.objects.filter(pk=runs[1].pk).update(state="running")
    set_owner(runs[1], alive=True)
    run_cancel(run_id=runs[2].pk, actor=person)
    original = pause_command.run_pause

    def meanwhile(**arguments: Any) -> Run:
        # One ends between the look and the decision.
        Run.objects.filter(pk=runs[3].pk).update(state="succeeded")
        return original(**arguments)

    monkeypatch.setattr(pause_command, "run_pause", meanwhile)
    document("run_pause", "--all")
    assert [state(run) for run in runs] == ["paused", "pausing", "cancelled", "succeeded"]


def test_pause_wants_runs_or_all(person: User) -> None:
    run = sweep_create(person)
    assert "Name the runs, or say --all." in refused("run_pause", code=2)
    assert "Name the runs, or say --all." in refused("run_pause", run.pk, "--all", code=2)


def test_who_acts_has_to_exist(person: User) -> None:
    run = sweep_create(person)
    assert "no active console user named 'nobody'" in refused(
        "run_pause", run.pk, "--user", "nobody", code=2
    )
    assert state(run) == "queued"


@pytest.fixture
def waiting(kind: None, person: User) -> Run:
    return sweep_create(person, approval="It is a lot.", why="the plan is shown")


def test_another_person_approves_with_their_password(
    waiting: Run, officer: User, types: Callable[[str], None]
) -> None:
    types(f"{PASSWORD}\n")
    shown = io.StringIO()
    call_command(
        *("run_approve", str(waiting.pk), "--user", "grace", "--reason", "seen"),
        stdout=io.StringIO(),
        stderr=shown,
    )
    assert "It is a lot." in shown.getvalue()
    assert "why: the plan is shown" in shown.getvalue()
    run = Run.objects.get(pk=waiting.pk)
    assert (run.state, run.decided_by, run.decision_reason) == ("queued", officer, "seen")


def test_another_person_refuses_with_their_password(
    waiting: Run, officer: User, types: Callable[[str], None]
) -> None:
    types(f"{PASSWORD}\n")
    assert document("run_refuse", waiting.pk, "--user", "grace")["run"]["state"] == "cancelled"
    assert things() == 10


DECIDE = pytest.mark.parametrize("name", ["run_approve", "run_refuse"])


@DECIDE
@pytest.mark.parametrize("typed", ["", "\n", "wrong\n", f"{PASSWORD} \n"])
def test_a_wrong_password_decides_nothing(
    waiting: Run, officer: User, types: Callable[[str], None], name: str, typed: str
) -> None:
    types(typed + typed)
    assert "not the password" in refused(name, waiting.pk, "--user", "grace", code=3)
    assert state(waiting) == "awaiting_approval"


@DECIDE
def test_nobody_decides_without_a_person(
    waiting: Run, officer: User, types: Callable[[str], None], name: str
) -> None:
    types(f"{PASSWORD}\n" * 2)
    message = refused(name, waiting.pk, "--user", "grace", "--no-input", code=3)
    assert "--no-input never" in message
    assert "Who decides?" in refused(name, waiting.pk, code=2)
    assert "not the password" in refused(name, waiting.pk, "--user", "nobody", code=3)
    assert state(waiting) == "awaiting_approval"


@DECIDE
def test_the_requester_is_not_the_second_pair_of_eyes(
    waiting: Run, person: User, types: Callable[[str], None], name: str
) -> None:
    person.is_superuser = True
    person.save()
    types("a long enough password\n" * 2)
    assert "another person has to" in refused(name, waiting.pk, "--user", "ada", code=3)
    assert state(waiting) == "awaiting_approval"


@DECIDE
def test_without_the_permission_nobody_decides(
    waiting: Run, types: Callable[[str], None], name: str
) -> None:
    User.objects.create_user("nemo", password=PASSWORD)
    types(f"{PASSWORD}\n" * 2)
    assert "has no permission" in refused(name, waiting.pk, "--user", "nemo", code=3)
    assert state(waiting) == "awaiting_approval"


@DECIDE
def test_an_account_that_was_shut_decides_nothing(
    waiting: Run, officer: User, types: Callable[[str], None], name: str
) -> None:
    officer.is_active = False
    officer.save()
    types(f"{PASSWORD}\n" * 2)
    assert "not the password of an active" in refused(name, waiting.pk, "--user", "grace", code=3)


@DECIDE
def test_a_dry_run_of_a_decision_asks_for_nothing_and_changes_nothing(
    waiting: Run, name: str
) -> None:
    assert document(name, waiting.pk, "--dry-run")["run"]["state"] == "awaiting_approval"
    assert state(waiting) == "awaiting_approval"


def test_what_does_not_wait_is_not_approved(
    person: User, officer: User, types: Callable[[str], None]
) -> None:
    run = sweep_create(person)
    types(f"{PASSWORD}\n" * 2)
    assert "does not wait for approval" in refused("run_approve", run.pk, "--user", "grace", code=3)

"""What people may decide about a run, in each of its states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User

from operations.models import Alert, Run
from operations.runs.exceptions import ApprovalRefused, NoSuchRun, RunBusy, TransitionRefused
from operations.runs.states import ENDED, TRANSITIONS, RunState
from operations.services.runs import (
    run_approve,
    run_cancel,
    run_create,
    run_pause,
    run_refuse,
    run_resume,
)

from .sweeping import make_things, set_owner, sweep_create, sweeping

pytestmark = pytest.mark.usefixtures("governed", "kind")
DECISIONS = {"pause": run_pause, "resume": run_resume, "cancel": run_cancel}


@pytest.fixture
def kind() -> Iterator[None]:
    with sweeping():
        yield


@pytest.fixture
def officer(db: None) -> User:
    user = User.objects.create_user("grace")
    user.user_permissions.add(Permission.objects.get(codename="approve_run"))
    return User.objects.get(pk=user.pk)


def run_in(person: User, state: str, *, owner: str = "", stop_with: str = "") -> Run:
    make_things()
    run = sweep_create(person)
    Run.objects.filter(pk=run.pk).update(state=state, stop_with=stop_with)
    if owner:
        set_owner(run, alive=owner == "alive")
    return Run.objects.get(pk=run.pk)


# state, who owns it, what it was told to do; then what pause, resume and cancel make of it.
TABLE = [
    ("awaiting_approval", "", "", None, None, "cancelled"),
    ("queued", "", "", "paused", None, "cancelled"),
    ("running", "alive", "", "pausing", None, "pausing"),
    ("running", "dead", "", "paused", "queued", "cancelled"),
    ("pausing", "alive", "pause", "pausing", "running", "pausing"),
    ("pausing", "dead", "pause", "paused", "queued", "cancelled"),
    ("pausing", "alive", "cancel", None, None, "pausing"),
    ("pausing", "dead", "cancel", None, "queued", "cancelled"),
    ("paused", "", "", None, "queued", "cancelled"),
    ("verifying", "alive", "", None, None, None),
    ("verifying", "dead", "", "paused", "queued", "cancelled"),
    ("failed", "", "", None, "queued", "cancelled"),
    ("succeeded", "", "", None, None, None),
    ("cancelled", "", "", None, None, None),
]
CASES = [
    pytest.param(
        row[:3], decision, row[3 + number], id="-".join(filter(None, [*row[:3], decision]))
    )
    for row in TABLE
    for number, decision in enumerate(DECISIONS)
]


@pytest.mark.parametrize(("given", "decision", "becomes"), CASES)
def test_a_decision_moves_the_run_or_is_refused(
    person: User, given: tuple[str, str, str], decision: str, becomes: str | None
) -> None:
    state, owner, stop_with = given
    run = run_in(person, state, owner=owner, stop_with=stop_with)
    decide = DECISIONS[decision]
    if becomes is None:
        with pytest.raises(TransitionRefused):
            decide(run_id=run.pk, actor=person, reason="because")
        after = Run.objects.get(pk=run.pk)
        assert (after.state, after.stop_with, after.fence) == (state, stop_with, run.fence)
        return
    decide(run_id=run.pk, actor=person, reason="because")
    after = Run.objects.get(pk=run.pk)
    assert after.state == becomes
    if becomes == "pausing":
        assert after.stop_with == ("cancel" if decision == "cancel" else "pause")
        assert after.worker == "w", "its owner keeps it until the step is over"
    if becomes == "queued":
        # Who was told to cancel and died leaves that to the next.
        assert after.stop_with == ("cancel" if stop_with == "cancel" else "")
        assert (after.worker, after.lease_until) == ("", None)
    if becomes == "cancelled" and owner == "dead":
        assert after.finished_at is not None


def test_every_state_is_in_the_table_and_the_ended_lead_nowhere() -> None:
    assert set(TRANSITIONS) == set(RunState)
    for state, following in TRANSITIONS.items():
        assert following <= set(RunState)
        assert bool(following) == (state not in ENDED)


def test_a_run_is_planned_logged_and_queued(person: User) -> None:
    make_things()
    run = run_create(kind="sweep", parameters={}, requester=person, reason="spring")
    assert (run.state, run.total, run.unit) == ("queued", 10, "things")
    assert list(run.events.values_list("message", flat=True)) == [
        "Asked for by ada. Reason: spring",
        "Planned: 10 things.",
        "Queued.",
    ]


def test_two_open_runs_for_one_subject_are_refused_and_the_first_is_named(person: User) -> None:
    make_things()
    first = sweep_create(person)
    with pytest.raises(RunBusy, match=f"Run {first.pk} for things is queued"):
        sweep_create(person)
    sweep_create(person, subject="other things")
    run_cancel(run_id=first.pk, actor=person)
    sweep_create(person)


def test_a_run_that_does_not_exist_is_said(person: User) -> None:
    for decide in DECISIONS.values():
        with pytest.raises(NoSuchRun):
            decide(run_id=123456, actor=person)


def waiting(person: User) -> Run:
    make_things()
    run = sweep_create(person, approval="It is a lot.")
    assert run.state == "awaiting_approval"
    assert Alert.objects.filter(key=f"run-approval:{run.pk}", resolved_at=None).count() == 1
    return run


@pytest.mark.parametrize("decide", [run_approve, run_refuse])
def test_the_person_who_asks_is_not_the_person_who_approves(person: User, decide: Any) -> None:
    person.is_superuser = True
    person.save()
    run = waiting(person)
    with pytest.raises(ApprovalRefused, match="another person has to approve or refuse"):
        decide(run_id=run.pk, approver=person)
    assert Run.objects.get(pk=run.pk).state == "awaiting_approval"


@pytest.mark.parametrize("decide", [run_approve, run_refuse])
def test_who_has_no_permission_decides_nothing(person: User, decide: Any) -> None:
    run = waiting(person)
    nobody = User.objects.create_user("nobody")
    with pytest.raises(ApprovalRefused, match="has no permission"):
        decide(run_id=run.pk, approver=nobody)
    assert Run.objects.get(pk=run.pk).decision == ""


def test_an_officer_who_was_shut_out_decides_nothing(person: User, officer: User) -> None:
    run = waiting(person)
    officer.is_active = False
    officer.save()
    with pytest.raises(ApprovalRefused):
        run_approve(run_id=run.pk, approver=officer)


def test_approved_it_is_queued_and_says_by_whom_and_why(person: User, officer: User) -> None:
    run = waiting(person)
    run_approve(run_id=run.pk, approver=officer, reason="seen")
    run = Run.objects.get(pk=run.pk)
    assert (run.state, run.decision, run.decision_reason) == ("queued", "approved", "seen")
    assert run.decided_by == officer
    assert not Alert.objects.filter(resolved_at=None).exists()
    with pytest.raises(TransitionRefused, match="does not wait for approval"):
        run_approve(run_id=run.pk, approver=officer)


def test_refused_or_withdrawn_it_is_over(person: User, officer: User) -> None:
    run = waiting(person)
    run_refuse(run_id=run.pk, approver=officer)
    assert Run.objects.get(pk=run.pk).state == "cancelled"
    assert not Alert.objects.filter(resolved_at=None).exists()
    second = sweep_create(person, approval="It is a lot.")
    run_cancel(run_id=second.pk, actor=person)
    assert Run.objects.get(pk=second.pk).state == "cancelled"
    assert not Alert.objects.filter(resolved_at=None).exists()

"""What a person can do about a run: which, when, who may, and what is said before they confirm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User

from operations.models import Run
from operations.runs.states import RunState
from operations.services import runs as service
from operations.services.run_approve import run_approve_and_execute

_S = RunState


@dataclass(frozen=True)
class Decision:
    name: str
    title: str
    """The button."""
    icon: str
    permission: str
    states: frozenset[RunState]
    """Where the run may be for it."""
    consequence: str
    """What happens then, said before it does."""
    act: Callable[[int, User, str, str], Run]
    """Takes the run, the person, their reason, and what they typed to confirm a dangerous plan."""
    variant: str = ""
    """Of the button: primary, danger, or neither."""
    asks_password: bool = False
    """It is the second pair of eyes that decides: they prove who they are, and never themselves."""
    wakes: bool = False
    """A worker has something to do after it."""


def _pause(run_id: int, person: User, reason: str, _confirm: str) -> Run:
    return service.run_pause(run_id=run_id, actor=person, reason=reason)


def _resume(run_id: int, person: User, reason: str, _confirm: str) -> Run:
    return service.run_resume(run_id=run_id, actor=person, reason=reason)


def _cancel(run_id: int, person: User, reason: str, _confirm: str) -> Run:
    return service.run_cancel(run_id=run_id, actor=person, reason=reason)


def _approve(run_id: int, person: User, reason: str, confirm: str) -> Run:
    return run_approve_and_execute(run_id=run_id, approver=person, reason=reason, confirm=confirm)


def _refuse(run_id: int, person: User, reason: str, _confirm: str) -> Run:
    return service.run_refuse(run_id=run_id, approver=person, reason=reason)


DECISIONS: dict[str, Decision] = {
    each.name: each
    for each in (
        Decision(
            "approve",
            "Approve",
            "verified",
            "operations.approve_run",
            frozenset({_S.AWAITING_APPROVAL}),
            "The run is queued and does what this plan says.",
            _approve,
            variant="primary",
            asks_password=True,
            wakes=True,
        ),
        Decision(
            "refuse",
            "Refuse",
            "block",
            "operations.approve_run",
            frozenset({_S.AWAITING_APPROVAL}),
            "The run is cancelled. Nothing was touched.",
            _refuse,
            variant="danger",
            asks_password=True,
        ),
        Decision(
            "resume",
            "Resume",
            "play_arrow",
            "operations.control_run",
            frozenset({_S.PAUSED, _S.FAILED, _S.PAUSING}),
            "The run is queued again and goes on where it stopped. What is done is not done twice.",
            _resume,
            variant="primary",
            wakes=True,
        ),
        Decision(
            "pause",
            "Pause",
            "pause",
            "operations.control_run",
            frozenset({_S.QUEUED, _S.RUNNING}),
            "The step under way is finished first, which takes a second or two. "
            "The run can be resumed at any time.",
            _pause,
        ),
        Decision(
            "cancel",
            "Cancel",
            "cancel",
            "operations.control_run",
            frozenset(
                {_S.AWAITING_APPROVAL, _S.QUEUED, _S.RUNNING, _S.PAUSING, _S.PAUSED, _S.FAILED}
            ),
            "The run ends for good after the step under way. What it did stays done and is "
            "certified; the rest is left as it is.",
            _cancel,
            variant="danger",
        ),
    )
}


def decisions_for(run: Run, user: User | AnonymousUser) -> list[Decision]:
    """The buttons that `user` gets on the page of `run`."""
    return [each for each in DECISIONS.values() if is_open(each, run, user)]


def is_open(decision: Decision, run: Run, user: User | AnonymousUser) -> bool:
    if run.current not in decision.states or not user.has_perm(decision.permission):
        return False
    if decision.asks_password:
        return run.requester_id != user.pk
    # Once it is being cancelled there is nothing left to decide.
    return not (run.current is RunState.PAUSING and run.stop_with == "cancel")


def why_not_approve(run: Run, user: User | AnonymousUser) -> str:
    """Why this person has no button to approve with; empty when they have one."""
    if run.current is not RunState.AWAITING_APPROVAL:
        return ""
    if run.requester_id == user.pk:
        return "You asked for this run, so another person has to approve or refuse it."
    if not user.has_perm("operations.approve_run"):
        return "A compliance officer or an operator has to approve or refuse it."
    return ""

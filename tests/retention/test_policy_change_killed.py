"""An approval outlives whoever gave it: killed at any instant, the terms come into force once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from operations.models import Run
from operations.services.run_approve import run_approve_and_execute
from operations.services.run_execute import run_execute
from operations.services.run_lease import lease_take, run_sweep
from operations.services.runs import run_approve, transition
from retention.models import RetentionPolicy
from retention.services.policy_change_run import PolicyChange
from tests.approving import second_person
from tests.operations.sweeping import set_owner

from .agreeing import TERMS, agreed, propose, stored, waiting
from .purging import make_events

SHORTER = replace(TERMS, keep_hours=48)


@pytest.fixture
def policy(governed: str, execute: Callable[..., Any], person: User) -> RetentionPolicy:
    make_events(execute, due=5)
    return agreed(person)


@pytest.fixture
def approved(policy: RetentionPolicy, person: User) -> Run:
    """Approved, and the process that approved it is gone."""
    run = waiting(propose(person, policy, keep_hours=48))
    return run_approve(run_id=run.pk, approver=second_person())


def test_a_worker_finds_what_was_approved(policy: RetentionPolicy, approved: Run) -> None:
    assert stored(policy) == (TERMS, 2)
    assert run_sweep() == [approved.pk]
    assert run_execute(run_id=approved.pk).state == "succeeded"
    assert stored(policy) == (SHORTER, 3)


def test_approving_again_goes_on_without_a_worker(policy: RetentionPolicy, approved: Run) -> None:
    done = run_approve_and_execute(run_id=approved.pk, approver=second_person())
    assert done.state == "succeeded"
    assert stored(policy) == (SHORTER, 3)


def test_the_next_proposal_finds_it_in_force(
    policy: RetentionPolicy, approved: Run, person: User
) -> None:
    assert propose(person, policy, keep_hours=48).change == "unchanged"
    assert stored(policy) == (SHORTER, 3)
    assert Run.objects.get(pk=approved.pk).state == "succeeded"


@pytest.mark.parametrize("step_done", [False, True])
def test_killed_while_it_came_into_force_it_does_so_once(
    policy: RetentionPolicy, approved: Run, step_done: bool
) -> None:
    run = lease_take(run_id=approved.pk)
    if step_done:
        with transaction.atomic():
            run.cursor = PolicyChange(run).step(run).cursor
            transition(run, run.current.VERIFYING, "All work done.")
    set_owner(run, alive=False)
    assert stored(policy)[1] == (3 if step_done else 2)

    done = run_approve_and_execute(run_id=run.pk, approver=second_person())

    assert (done.state, done.result["version"]) == ("succeeded", 3)
    assert stored(policy) == (SHORTER, 3)
    assert policy.history.count() == 3


def test_what_was_rolled_back_is_not_half_in_force(
    policy: RetentionPolicy, approved: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = PolicyChange.step

    def failing(self: PolicyChange, run: Run) -> Any:
        step(self, run)
        raise LookupError("the power is gone")

    monkeypatch.setattr(PolicyChange, "step", failing)
    done = run_execute(run_id=approved.pk)
    assert done.state == "failed"
    assert stored(policy) == (TERMS, 2)
    assert policy.history.count() == 2

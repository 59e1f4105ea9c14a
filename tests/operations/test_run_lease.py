"""Who owns a run: one living worker, and after it nobody who was before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from operations.models import Run
from operations.runs.exceptions import LeaseLost, RunBusy, TransitionRefused
from operations.runs.states import RunState
from operations.selectors.runs import runs_with_dead_lease
from operations.services import run_lease
from operations.services.lease_keeper import LeaseKeeper
from operations.services.run_lease import (
    lease_release,
    lease_take,
    run_fail,
    run_sweep,
)
from operations.services.runs import run_cancel, run_pause

from .sweeping import make_things, set_owner, sweep_create, sweeping
from .workers import wait_until

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def run(governed: str, person: User) -> Iterator[Run]:
    with sweeping():
        make_things()
        yield sweep_create(person)


def lease_check(**arguments: Any) -> Run:
    with transaction.atomic():
        return run_lease.lease_check(**arguments)


def end_session(run: Run) -> None:
    """As if the owner's process ended: the server has noticed."""
    connection.close()
    wait_until(lambda: runs_with_dead_lease(run_id=run.pk), "the session is gone")


def now(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)


def test_a_queued_run_is_taken_with_a_new_fence_and_a_lease(run: Run) -> None:
    taken = lease_take(run_id=run.pk)
    assert (taken.state, taken.fence) == ("running", 1)
    assert taken.lease_until > taken.heartbeat_at
    assert taken.started_at is not None
    assert runs_with_dead_lease() == []


def test_a_run_whose_owner_lives_is_not_taken(run: Run) -> None:
    lease_take(run_id=run.pk)
    with pytest.raises(RunBusy, match="is in the hands of worker"):
        lease_take(run_id=run.pk)
    assert now(run).fence == 1


@pytest.mark.parametrize("state", ["awaiting_approval", "paused", "failed", "succeeded"])
def test_what_is_not_queued_is_not_taken(run: Run, state: str) -> None:
    Run.objects.filter(pk=run.pk).update(state=state)
    with pytest.raises(TransitionRefused):
        lease_take(run_id=run.pk)
    assert now(run).state == state


def test_an_owner_whose_session_is_gone_is_followed_at_once(run: Run, execute: Execute) -> None:
    first = lease_take(run_id=run.pk)
    end_session(run)
    second = lease_take(run_id=run.pk)
    assert (second.fence, second.losses) == (2, 1)
    with pytest.raises(LeaseLost):
        lease_check(run_id=run.pk, fence=first.fence)


def test_an_owner_that_connects_again_keeps_its_run(run: Run) -> None:
    taken = lease_take(run_id=run.pk)
    end_session(run)
    assert runs_with_dead_lease() == [run.pk]
    lease_check(run_id=run.pk, fence=taken.fence)
    assert runs_with_dead_lease() == []


def test_the_check_prolongs_the_lease_and_never_shortens_it(run: Run) -> None:
    taken = lease_take(run_id=run.pk)
    longer = lease_check(run_id=run.pk, fence=taken.fence, seconds=900)
    assert (longer.lease_until - taken.lease_until).total_seconds() > 800
    again = lease_check(run_id=run.pk, fence=taken.fence)
    assert again.lease_until == longer.lease_until


def test_a_stopped_owner_that_holds_the_run_locked_is_ended(
    run: Run, execute: Execute, other_session: Callable[[], psycopg.Connection]
) -> None:
    lease_take(run_id=run.pk)
    stopped = other_session()
    execute(
        "UPDATE custody.operations_run SET lease_until = now() - interval '1 second',"
        " backend_pid = a.pid, backend_start = a.backend_start"
        " FROM pg_stat_activity a WHERE a.pid = %s",
        [stopped.info.backend_pid],
    )
    stopped.autocommit = False
    stopped.execute("SELECT FROM custody.operations_run FOR UPDATE")
    assert lease_take(run_id=run.pk).fence == 2
    with pytest.raises(psycopg.OperationalError):
        stopped.execute("SELECT 1")


def test_a_run_that_a_living_worker_holds_locked_is_busy(
    run: Run, other_session: Callable[[], psycopg.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lease, "LOCK_SECONDS", 0.1)
    busy = other_session()
    busy.autocommit = False
    busy.execute("SELECT FROM custody.operations_run FOR UPDATE")
    with pytest.raises(RunBusy, match="at work on run"):
        lease_take(run_id=run.pk)


@pytest.mark.parametrize(("decide", "stop"), [(run_pause, "pause"), (run_cancel, "cancel")])
def test_what_was_asked_of_an_owner_that_died_is_asked_of_the_next(
    run: Run, person: User, decide: Any, stop: str
) -> None:
    lease_take(run_id=run.pk)
    decide(run_id=run.pk, actor=person)
    set_owner(run, alive=False)
    taken = lease_take(run_id=run.pk)
    assert (taken.state, taken.stop_with) == ("pausing", stop)


def test_a_worker_that_lost_its_run_neither_fails_nor_releases_it(run: Run) -> None:
    first = lease_take(run_id=run.pk)
    end_session(run)
    lease_take(run_id=run.pk)
    with pytest.raises(LeaseLost):
        run_fail(run_id=run.pk, fence=first.fence, error="mine")
    lease_release(run_id=run.pk, fence=first.fence, to=RunState.PAUSED, message="mine")
    assert (now(run).state, now(run).fence, now(run).error) == ("running", 2, "")


@pytest.mark.parametrize(
    ("state", "stop", "becomes"),
    [
        ("running", "", "paused"),
        ("pausing", "pause", "paused"),
        ("pausing", "cancel", "queued"),
        ("verifying", "", "queued"),
    ],
)
def test_a_worker_that_is_interrupted_gives_its_run_back(
    run: Run, state: str, stop: str, becomes: str
) -> None:
    taken = lease_take(run_id=run.pk)
    Run.objects.filter(pk=run.pk).update(state=state, stop_with=stop)
    lease_release(run_id=run.pk, fence=taken.fence, to=RunState.PAUSED, message="Interrupted.")
    after = now(run)
    assert (after.state, after.worker) == (becomes, "")
    assert after.stop_with == ("cancel" if stop == "cancel" else "")


def test_the_sweep_queues_what_nobody_owns_and_sends_it_once(run: Run) -> None:
    lease_take(run_id=run.pk)
    assert run_sweep() == []
    set_owner(run, alive=False)
    assert run_sweep() == [run.pk]
    assert (now(run).state, now(run).losses) == ("queued", 1)
    assert run_sweep() == [], "it was sent a moment ago"
    Run.objects.update(dispatched_at=None)
    assert run_sweep() == [run.pk]


def test_one_run_that_cannot_be_swept_does_not_keep_the_others(
    run: Run,
    person: User,
    other_session: Callable[[], psycopg.Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_lease, "LOCK_SECONDS", 0.1)
    other = sweep_create(person, subject="others")
    for each in (run, other):
        lease_take(run_id=each.pk)
        set_owner(each, alive=False)
    stuck = other_session()
    stuck.autocommit = False
    stuck.execute("SELECT FROM custody.operations_run WHERE id = %s FOR UPDATE", [run.pk])
    assert run_sweep() == [other.pk]
    stuck.rollback()
    assert run_sweep() == [run.pk]


def test_the_keeper_renews_the_lease_and_notices_that_it_is_lost(
    run: Run, settings: Any, execute: Execute
) -> None:
    settings.CUSTODY_RUN_LEASE_SECONDS = 1
    taken = lease_take(run_id=run.pk)
    with LeaseKeeper(taken, step_budget=2) as keeper:
        wait_until(lambda: now(run).lease_until > taken.lease_until, "renewed")
        keeper.beat()
        execute("UPDATE custody.operations_run SET fence = fence + 1")
        wait_until(lambda: keeper.lost, "lost")
        with pytest.raises(LeaseLost):
            keeper.beat()


def test_the_keeper_connects_again_when_its_session_is_ended(
    run: Run, settings: Any, execute: Execute
) -> None:
    settings.CUSTODY_RUN_LEASE_SECONDS = 1
    taken = lease_take(run_id=run.pk)
    watching = (
        "SELECT pid FROM pg_stat_activity WHERE query LIKE '%$watch$%' AND pid <> pg_backend_pid()"
        " AND datname = current_database() AND state = 'active'"
    )
    with LeaseKeeper(taken, step_budget=2):
        wait_until(lambda: execute(watching), "watching")
        first = execute(watching)
        execute("SELECT pg_terminate_backend(%s)", [first[0][0]])
        wait_until(lambda: execute(watching) not in ([], first), "watching again")
    wait_until(lambda: not execute(watching), "no session is left behind")

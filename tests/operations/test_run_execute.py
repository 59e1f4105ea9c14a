"""The engine: a step's work and its cursor are one, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from operations.exceptions import CustodyError
from operations.models import Alert, Run
from operations.runs.exceptions import LeaseLost, TransitionRefused
from operations.runs.kinds import PlanOutdated, StepStalled, Throttle
from operations.services import run_execute as engine
from operations.services.run_execute import run_execute
from operations.services.runs import run_cancel, run_pause, run_resume

from .sweeping import THINGS, Sweep, make_things, sweep_create, sweeping, things
from .workers import wait_until

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def run(governed: str, person: User) -> Iterator[Run]:
    with sweeping():
        make_things()
        yield sweep_create(person)


def at(done: int, act: Callable[[], Any]) -> Callable[[Run], None]:
    """Acts once, in the step that begins with so many done."""
    left = [act]

    def hook(run: Run) -> None:
        if run.done == done and left:
            left.pop()()

    return hook


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def assert_together(run: Run) -> Run:
    """What the run says it did is what is gone."""
    now = Run.objects.get(pk=run.pk)
    assert now.done == THINGS - things()
    assert now.cursor.get("deleted", 0) == now.done
    return now


def said(run: Run) -> str:
    return "\n".join(run.events.values_list("message", flat=True))


def test_it_goes_step_by_step_to_its_end(run: Run) -> None:
    seen = []
    ended = run_execute(run_id=run.pk, on_progress=lambda r: seen.append((r.state, r.done)))
    assert (ended.state, ended.done) == ("succeeded", THINGS)
    assert ended.result == {"outcome": "complete", "done": THINGS}
    assert seen == [
        *[("running", done) for done in (2, 4, 6, 8, 10)],
        ("verifying", 10),
        ("succeeded", 10),
    ]
    assert (ended.worker, ended.lease_until, ended.backend_pid) == ("", None, None)
    assert ended.finished_at is not None
    assert_together(run)
    with pytest.raises(TransitionRefused, match="is succeeded"):
        run_execute(run_id=run.pk)


def test_it_leaves_no_session_behind(run: Run, execute: Execute) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    before = execute(count)
    run_execute(run_id=run.pk)
    wait_until(lambda: execute(count) == before, "no session is left behind")
    assert execute("SELECT current_setting('application_name')") == [("custody",)]
    assert execute("SELECT current_setting('statement_timeout')") == [("0",)]


@pytest.mark.parametrize("error", [CustodyError("the disk is full"), ValueError("oh")])
def test_a_failure_is_kept_and_the_run_resumes_where_it_was(
    run: Run, person: User, error: Exception
) -> None:
    Sweep.after_delete = at(4, raising(error))
    failed = run_execute(run_id=run.pk)
    assert (failed.state, failed.done, failed.error) == ("failed", 4, str(error))
    assert_together(run)
    alert = Alert.objects.get(key=f"run-failed:{run.pk}", resolved_at=None)
    assert f"run_resume {run.pk}" in alert.remedy
    assert Sweep.heard[-1] == f"rolled back: {type(error).__name__}"
    resumed = run_resume(run_id=run.pk, actor=person)
    assert (resumed.state, resumed.error) == ("queued", "")
    assert not Alert.objects.filter(resolved_at=None).exists()
    assert run_execute(run_id=run.pk).state == "succeeded"
    assert_together(run)


def test_a_run_that_cannot_even_begin_fails_and_is_not_stuck(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(parameters={"broken": True})
    failed = run_execute(run_id=run.pk)
    assert (failed.state, failed.error) == ("failed", "what it needs is not there")
    assert (failed.worker, failed.lease_until) == ("", None)


@pytest.mark.parametrize(
    "cause",
    [
        psycopg.errors.LockNotAvailable("locked"),
        psycopg.errors.DeadlockDetected("deadlock"),
        psycopg.errors.QueryCanceled("too long"),
        psycopg.errors.ForeignKeyViolation("referred to"),
        psycopg.errors.RestrictViolation("referred to, as PostgreSQL 18 says it"),
        psycopg.errors.TransactionTimeout("too long in all"),
        None,
    ],
)
def test_what_passes_is_tried_again(run: Run, cause: Exception | None) -> None:
    error: Exception = StepStalled("the storage hangs")
    if cause is not None:
        error = OperationalError(str(cause))
        error.__cause__ = cause
    Sweep.after_delete = at(4, raising(error))
    ended = run_execute(run_id=run.pk)
    assert (ended.state, ended.done) == ("succeeded", THINGS)
    assert "A step was rolled back and is tried again (1)" in said(run)
    assert sum(heard.startswith("rolled back") for heard in Sweep.heard) == 1
    assert_together(run)


def test_what_does_not_pass_fails_the_run_after_some_tries(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MOST_FAILURES", 2)
    Sweep.after_delete = lambda run: raising(StepStalled("it hangs"))() if run.done == 4 else None
    failed = run_execute(run_id=run.pk)
    assert (failed.state, failed.done, failed.error) == ("failed", 4, "it hangs")
    assert sum(heard.startswith("rolled back") for heard in Sweep.heard) == 3
    assert_together(run)


def test_a_lock_is_waited_for_longer_than_other_troubles(
    run: Run, monkeypatch: pytest.MonkeyPatch, other_session: Callable[[], psycopg.Connection]
) -> None:
    monkeypatch.setattr(engine, "MOST_FAILURES", 1)
    monkeypatch.setattr(engine, "LOCK_LIMIT", 0.05)
    session = other_session()
    session.autocommit = False
    session.execute("LOCK TABLE app.things IN SHARE MODE")
    tries: list[int] = []

    def release(run: Run) -> None:
        tries.append(run.done)
        if len(tries) == 4:
            session.rollback()

    Sweep.before_step = release
    assert run_execute(run_id=run.pk).state == "succeeded"
    assert tries[:4] == [0, 0, 0, 0]
    assert_together(run)


@pytest.mark.parametrize("state", ["before", "after"])
def test_a_session_that_is_ended_between_steps_is_replaced(
    run: Run, other_session: Callable[[], psycopg.Connection], state: str
) -> None:
    watcher = other_session()

    def end() -> None:
        pid = connection.connection.info.backend_pid
        watcher.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    setattr(Sweep, "before_step" if state == "before" else "after_delete", at(4, end))
    ended = run_execute(run_id=run.pk)
    assert (ended.state, ended.done, ended.fence) == ("succeeded", THINGS, 1)
    assert_together(run)


def test_ctrl_c_pauses_the_run(run: Run, person: User) -> None:
    Sweep.after_delete = at(4, raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        run_execute(run_id=run.pk)
    paused = assert_together(run)
    assert (paused.state, paused.done, paused.worker) == ("paused", 4, "")
    run_resume(run_id=run.pk, actor=person)
    assert run_execute(run_id=run.pk).state == "succeeded"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_ctrl_c_during_a_commit_undoes_no_step_that_was_committed(
    run: Run, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    original = BaseDatabaseWrapper._commit
    armed: list[int] = []

    def interrupted(self: BaseDatabaseWrapper) -> Any:
        if not armed:
            return original(self)
        armed.clear()
        if moment == "after":
            original(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(BaseDatabaseWrapper, "_commit", interrupted)
    Sweep.after_delete = at(4, lambda: armed.append(1))
    with pytest.raises(KeyboardInterrupt):
        run_execute(run_id=run.pk)
    paused = assert_together(run)
    assert (paused.state, paused.done) == ("paused", 6 if moment == "after" else 4)
    undone = any(heard.startswith("rolled back") for heard in Sweep.heard)
    assert undone is (moment == "before")


def test_a_plan_that_is_outdated_ends_the_run_with_its_result(run: Run) -> None:
    Sweep.before_step = at(4, raising(PlanOutdated("the table is another")))
    ended = run_execute(run_id=run.pk)
    assert (ended.state, ended.error) == ("cancelled", "the table is another")
    assert ended.result == {"outcome": "cancelled", "done": 4}
    assert_together(run)


def test_paused_while_a_step_is_under_way_it_ends_the_step_first(run: Run, person: User) -> None:
    def pause(progress: Run) -> None:
        if progress.done == 4 and progress.state == "running":
            run_pause(run_id=run.pk, actor=person, reason="lunch")

    paused = run_execute(run_id=run.pk, on_progress=pause)
    assert (paused.state, paused.done) == ("paused", 4)
    assert "Paused by ada. Reason: lunch" in said(run)
    assert_together(run)


def test_a_pause_that_is_taken_back_changes_nothing(run: Run, person: User) -> None:
    def waver(progress: Run) -> None:
        if progress.done == 4 and progress.state == "running":
            run_pause(run_id=run.pk, actor=person)
            run_resume(run_id=run.pk, actor=person)

    assert run_execute(run_id=run.pk, on_progress=waver).state == "succeeded"
    assert Run.objects.get().fence == 1


def test_a_pause_that_is_taken_back_at_the_last_moment_loses_no_run(
    run: Run, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = engine._Engine._prolong

    def take_back(self: Any) -> None:
        if Run.objects.get().state == "pausing":
            run_resume(run_id=run.pk, actor=person)
        original(self)

    monkeypatch.setattr(engine._Engine, "_prolong", take_back)

    def pause(progress: Run) -> None:
        if progress.done == 4 and progress.state == "running":
            run_pause(run_id=run.pk, actor=person)

    assert run_execute(run_id=run.pk, on_progress=pause).state == "succeeded"


def test_cancelled_it_ends_with_what_it_did(run: Run, person: User) -> None:
    def cancel(progress: Run) -> None:
        if progress.done == 4 and progress.state == "running":
            run_cancel(run_id=run.pk, actor=person)

    ended = run_execute(run_id=run.pk, on_progress=cancel)
    assert ended.state == "cancelled"
    assert ended.result == {"outcome": "cancelled", "done": 4}
    assert_together(run)


def test_what_was_written_is_verified_before_it_is_called_done(run: Run, person: User) -> None:
    Sweep.verifying = raising(CustodyError("a part is damaged"))
    failed = run_execute(run_id=run.pk)
    assert (failed.state, failed.done, failed.error) == ("failed", THINGS, "a part is damaged")
    assert failed.result == {}
    Sweep.verifying = None
    run_resume(run_id=run.pk, actor=person)
    assert run_execute(run_id=run.pk).state == "succeeded"
    assert_together(run)


def test_a_worker_that_is_told_to_end_gives_the_run_back(run: Run) -> None:
    given = run_execute(run_id=run.pk, stop_asked=lambda: THINGS - things() >= 4)
    assert (given.state, given.done, given.worker) == ("queued", 4, "")
    assert run_execute(run_id=run.pk).state == "succeeded"
    assert_together(run)


def test_a_server_under_strain_slows_it_down_and_it_says_why(run: Run) -> None:
    answers = [Throttle(0.01, "a replica is behind", again=True)] * 3 + [None]
    Sweep.throttling = lambda: answers.pop(0) if answers else None
    assert run_execute(run_id=run.pk).state == "succeeded"
    assert said(run).count("Slowed down: a replica is behind.") == 1
    assert said(run).count("Full speed again.") == 1


def test_a_worker_whose_run_was_taken_stops_and_tells_its_kind(run: Run, execute: Execute) -> None:
    def take(progress: Run) -> None:
        if progress.done == 4:
            execute("UPDATE custody.operations_run SET fence = fence + 1, worker = 'b'")

    with pytest.raises(LeaseLost, match="taken over by b"):
        run_execute(run_id=run.pk, on_progress=take)
    assert Sweep.heard[-1] == "lost"
    assert assert_together(run).done == 4

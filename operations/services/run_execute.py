"""The engine: takes a run step by step to its end.

Invariants: a step's work and its cursor commit in one transaction, which locked the run's row and
compared the fence first; that transaction holds locks for at most `STEP_BUDGET` seconds, its files
included; killed at any instant, the run goes on from the last committed cursor.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg
from django.db import DatabaseError, InterfaceError, OperationalError, connections, transaction

from operations.exceptions import CustodyError
from operations.models import Run
from operations.runs.exceptions import LeaseLost
from operations.runs.kinds import PlanOutdated, RunKind, Step, StepStalled, Throttle, run_kind
from operations.runs.states import RunState
from operations.selectors.runs import run_get
from operations.services.alerts import alert_raise
from operations.services.lease_keeper import LeaseKeeper, step_mark
from operations.services.run_acting import acting_for
from operations.services.run_lease import (
    lease_check,
    lease_release,
    lease_take,
    run_fail,
)
from operations.services.runs import (
    queue_again,
    run_end_cancelled,
    run_lock,
    run_log,
    transition,
)
from operations.session import set_local
from operations.vetoes import Vetoed

STEP_BUDGET = 1.7
"""Seconds after which the server ends a step that is not over, however its worker fares. A
transaction that holds locks may last 2 (DESIGN: rule 3): the rest is for the server to notice."""
STATEMENT_LIMIT = 1.4
LOCK_LIMIT = 0.8
MOST_FAILURES = 10
"""Steps in a row that are rolled back before the run fails."""
RECONNECT_SECONDS = 60.0
MOST_WAITED = 600.0
"""Seconds for which a step is put off: for a lock, or because the server is under strain."""
CLOSING_SECONDS = 900.0
"""A worker that dies while it closes a run is noticed at once, one that freezes after this."""

Progress = Callable[[Run], None]
log = logging.getLogger(__name__)

_TRANSIENT = (
    # Locks, limits, deadlocks, a connection that was cut, a server that restarts or is full.
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
    # A row that refers to one of ours came in between: looked at again, ours is kept. The second
    # is what PostgreSQL 18 says for ON DELETE RESTRICT.
    psycopg.errors.ForeignKeyViolation,
    psycopg.errors.RestrictViolation,
)


def run_execute(
    *,
    run_id: int,
    on_progress: Progress | None = None,
    stop_asked: Callable[[], bool] | None = None,
) -> Run:
    """Works on the run until it ends, pauses, fails, or is taken over.

    Returns the run in the state it was left in.

    Args:
        stop_asked: whether this process was told to end. Then the run goes back to the queue after
            the step under way.

    Raises:
        RunBusy: a living worker owns it.
        TransitionRefused: it is not queued.
        LeaseLost: another worker took it over; nothing more was committed here.
        OperationalError: the database could not be reached again; the run can be resumed.
    """
    asked = run_get(run_id)
    with acting_for(asked):
        run = lease_take(run_id=run_id, using=asked.database)
        with LeaseKeeper(run, step_budget=STEP_BUDGET) as keeper:
            return _worked_on(run, keeper, on_progress, stop_asked)


def _worked_on(
    run: Run,
    keeper: LeaseKeeper,
    on_progress: Progress | None,
    stop_asked: Callable[[], bool] | None,
) -> Run:
    try:
        job = run_kind(run.kind)(run)
        engine = _Engine(run, job, keeper, on_progress or (lambda _run: None))
        engine.stop_asked = stop_asked or engine.stop_asked
        return engine.work()
    except LeaseLost:
        raise
    except KeyboardInterrupt:
        lease_release(run_id=run.pk, fence=run.fence, to=RunState.PAUSED, message="Interrupted.")
        raise
    except (OperationalError, InterfaceError) as error:
        if not connections[run.database].is_usable():
            # The database is gone: nothing can be noted down now. The sweeper finds the run.
            raise
        return _failed(run, error)
    except Exception as error:
        return _failed(run, error)


def _failed(run: Run, error: Exception) -> Run:
    if not isinstance(error, CustodyError):
        log.error("run %s failed", run.pk, exc_info=error)
    text = str(error).strip() or type(error).__name__
    if isinstance(error, PlanOutdated | Vetoed):
        with transaction.atomic(using=run.database):
            run = lease_check(run_id=run.pk, fence=run.fence)
            run.error = text
            run_end_cancelled(run, text, level="warning")
        return run
    run = run_fail(run_id=run.pk, fence=run.fence, error=text)
    alert_raise(
        key=f"run-failed:{run.pk}",
        summary=f"{run} failed: {text}",
        remedy=f"Mend the cause, then resume it: manage.py run_resume {run.pk}",
        run=run,
    )
    return run


class _Engine:
    def __init__(self, run: Run, job: RunKind, keeper: LeaseKeeper, on_progress: Progress) -> None:
        self.run_id, self.fence, self.using = run.pk, run.fence, run.database
        self.job, self.keeper, self.on_progress = job, keeper, on_progress
        self.steps = 0
        self.failures = 0
        self.failing_since = 0.0
        self.said_throttle = ""
        self.stop_asked: Callable[[], bool] = lambda: False

    def work(self) -> Run:
        try:
            return self._work()
        except LeaseLost:
            with suppress(CustodyError, DatabaseError, InterfaceError):
                self._connected(self.job.lost)
            raise

    def _work(self) -> Run:
        self._connected(self._open)
        while True:
            self.keeper.beat()
            self._throttle()
            if self.stop_asked():
                return self._give_back()
            run, finished = self._step()
            self.on_progress(run)
            if finished or run.current is not RunState.RUNNING:
                break
        return self._finish() if run.current is RunState.VERIFYING else run

    def _open(self) -> None:
        with transaction.atomic(using=self.using):
            self.job.open(self._locked())

    def _locked(self) -> Run:
        return lease_check(run_id=self.run_id, fence=self.fence)

    # One step, until it is committed.

    def _step(self) -> tuple[Run, bool]:
        while True:
            step: Step | None = None
            try:
                self.job.prepare(self.keeper.beat)
                with transaction.atomic(using=self.using, durable=True):
                    self._limits()
                    run = self._locked()
                    if run.current is RunState.RUNNING:
                        began = time.monotonic()
                        step = self.job.step(run)
                        self._advance(run, step, time.monotonic() - began)
            except (DatabaseError, InterfaceError, StepStalled) as error:
                committed = self._committed_after_all(step, error)
                if (interrupt := _interrupt_behind(error)) is not None:
                    raise interrupt from error
                if not committed:
                    self._again_or_raise(error)
                    continue
                run = run_get(self.run_id)
            except BaseException as error:
                # Ctrl-C may come while the COMMIT is on its way.
                with suppress(CustodyError, DatabaseError, InterfaceError):
                    self._committed_after_all(step, error)
                raise
            if step is None:
                self._connected(self._prolong)
                self._connected(self._stop)
                run = run_get(self.run_id)
                if run.current in (RunState.RUNNING, RunState.PAUSING):
                    continue  # The request was taken back.
                return run, True
            self.failures = 0
            self.job.committed()
            return run, step.finished

    def _limits(self) -> None:
        """The server itself ends a transaction whose worker was stopped in the middle of it."""
        limits = {"lock_timeout": LOCK_LIMIT, "statement_timeout": STATEMENT_LIMIT}
        limits["idle_in_transaction_session_timeout"] = STEP_BUDGET
        if connections[self.using].get_database_version() >= (17,):
            limits["transaction_timeout"] = STEP_BUDGET
        settings = {name: f"{int(seconds * 1000)}ms" for name, seconds in limits.items()}
        settings["application_name"] = step_mark(self.run_id)
        set_local(settings, using=self.using)

    def _advance(self, run: Run, step: Step, seconds: float) -> None:
        self.steps += 1
        run.cursor = {**step.cursor, "step": self._mark}
        run.losses = 0
        run.done += step.done
        run.active_seconds += seconds
        for note in step.notes:
            run_log(run, note)
        if step.finished:
            transition(run, RunState.VERIFYING, f"All work done: {run.done:,} {run.unit}.")
        else:
            run.save(update_fields=["cursor", "done", "active_seconds", "losses"])

    @property
    def _mark(self) -> str:
        """Tells the step under way from every other of this run."""
        return f"{self.fence}.{self.steps}"

    def _prolong(self) -> None:
        """Before the run is closed under the lock of its row: nobody can renew the lease then."""
        with transaction.atomic(using=self.using):
            lease_check(run_id=self.run_id, fence=self.fence, seconds=CLOSING_SECONDS)

    def _stop(self) -> None:
        """In a transaction of its own: closing what was begun may take longer than a step may."""
        with transaction.atomic(using=self.using, durable=True):
            run = run_lock(self.run_id)
            if run.fence == self.fence and run.current in (RunState.PAUSED, RunState.CANCELLED):
                return  # The COMMIT before the connection was cut.
            run = self._locked()
            if run.current is not RunState.PAUSING:
                return
            if run.stop_with == "cancel":
                run_end_cancelled(run, f"Cancelled after {run.done:,} {run.unit}.")
            else:
                transition(run, RunState.PAUSED, f"Paused after {run.done:,} {run.unit}.")

    def _committed_after_all(self, step: Step | None, error: BaseException) -> bool:
        """Whether a step whose COMMIT gave an error is in the database all the same.

        Asked under the run's lock, so an old session that still commits is waited for.
        """
        if step is None:
            # It never came to its COMMIT.
            self._undo(error)
            return False
        committed = False
        # Whatever state it was left in, the old session can do nothing more.
        connections[self.using].close()

        def look() -> None:
            nonlocal committed
            with transaction.atomic(using=self.using):
                run = self._locked()
                committed = run.cursor.get("step") == self._mark
                if not committed:
                    self.job.rolled_back(error)

        self._connected(look)
        return committed

    def _undo(self, error: BaseException) -> None:
        with suppress(CustodyError):
            self.job.rolled_back(error)

    def _again_or_raise(self, error: Exception) -> None:
        if self.failures == 0:
            self.failing_since = time.monotonic()
        self.failures += 1
        if not connections[self.using].is_usable():
            connections[self.using].close()
        if self._hopeless(error):
            raise CustodyError(_told(error)) from error
        if self.failures <= MOST_FAILURES:
            said = f"A step was rolled back and is tried again ({self.failures}): {_told(error)}"
            self._connected(lambda: self._note(said))
        self.job.recovered(error, self.keeper.beat)
        time.sleep(min(0.05 * 2**self.failures, 5.0))
        self.keeper.beat()

    def _hopeless(self, error: Exception) -> bool:
        if not isinstance(error, StepStalled) and not isinstance(error.__cause__, _TRANSIENT):
            return True
        if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            # Somebody builds an index, say: nothing is wrong, and nothing is held meanwhile.
            return time.monotonic() > self.failing_since + MOST_WAITED
        return self.failures > MOST_FAILURES

    def _note(self, message: str) -> None:
        with transaction.atomic(using=self.using):
            run_log(self._locked(), message, level="warning")

    def _connected(self, work: Callable[[], None]) -> None:
        """Does a short piece of database work, waiting for a database that is restarting."""
        give_up = time.monotonic() + RECONNECT_SECONDS
        while True:
            try:
                return work()
            except (OperationalError, InterfaceError):
                if time.monotonic() > give_up:
                    raise
                connections[self.using].close()
                time.sleep(0.25)

    # Between the steps, and after them.

    def _throttle(self) -> None:
        give_up = time.monotonic() + MOST_WAITED
        while (throttle := self._ask_throttle()) is not None:
            if throttle.reason != self.said_throttle:
                self._note(f"Slowed down: {throttle.reason}.")
                self.said_throttle = throttle.reason
            time.sleep(throttle.seconds)
            self.keeper.beat()
            if not throttle.again or time.monotonic() > give_up or self.stop_asked():
                return
            if run_get(self.run_id).current is not RunState.RUNNING:
                return
        if self.said_throttle:
            self._note("Full speed again.")
            self.said_throttle = ""

    def _ask_throttle(self) -> Throttle | None:
        answer: Throttle | None = None

        def ask() -> None:
            nonlocal answer
            answer = self.job.throttle()

        self._connected(ask)
        return answer

    def _give_back(self) -> Run:
        with transaction.atomic(using=self.using):
            run = self._locked()
            run.dispatched_at = None
            queue_again(run, "Its worker was told to end; queued.", level="info")
        return run

    def _finish(self) -> Run:
        self._connected(lambda: self.job.verify(run_get(self.run_id), self.keeper.beat))
        self._connected(self._prolong)
        self._connected(self._close)
        run = run_get(self.run_id)
        self.on_progress(run)
        return run

    def _close(self) -> None:
        with transaction.atomic(using=self.using, durable=True):
            run = run_lock(self.run_id)
            if run.fence == self.fence and run.current is RunState.SUCCEEDED:
                return  # The COMMIT before the connection was cut.
            run = self._locked()
            run.result = self.job.finish(run, "complete")
            transition(run, RunState.SUCCEEDED, f"Done: {run.done:,} {run.unit}.")


def _interrupt_behind(error: BaseException) -> BaseException | None:
    """The Ctrl-C that came in the middle of a COMMIT, which Django then could not clean up."""
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, (KeyboardInterrupt, SystemExit)):
            return chain
        chain = chain.__cause__ or chain.__context__
    return None


def _told(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

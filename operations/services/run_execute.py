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
from operations.runs.kinds import PlanOutdated, RunKind, Step, StepStalled, run_kind
from operations.runs.states import RunState
from operations.selectors.runs import run_get
from operations.services.alerts import alert_raise
from operations.services.run_lease import (
    LeaseKeeper,
    lease_check,
    lease_release,
    lease_take,
    run_fail,
)
from operations.services.runs import run_end_cancelled, run_log, transition

STEP_BUDGET = 2.0
"""Seconds a transaction that holds locks may last (DESIGN: rule 3)."""
STATEMENT_LIMIT = 1.6
LOCK_LIMIT = 0.8
MOST_FAILURES = 10
"""Steps in a row that are rolled back before the run fails."""
RECONNECT_SECONDS = 60.0
MOST_THROTTLED = 600.0
"""Seconds after which a step is done although the server is still under strain."""

Progress = Callable[[Run], None]
log = logging.getLogger(__name__)

_TRANSIENT = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    # A row that refers to one of ours came in between: looked at again, ours is kept.
    psycopg.errors.ForeignKeyViolation,
)


def run_execute(*, run_id: int, on_progress: Progress | None = None) -> Run:
    """Works on the run until it ends, pauses, fails, or is taken over.

    Returns the run in the state it was left in.

    Raises:
        RunBusy: a living worker owns it.
        TransitionRefused: it is not queued.
        LeaseLost: another worker took it over; nothing more was committed here.
        OperationalError: the database could not be reached again; the run can be resumed.
    """
    using = run_get(run_id).database
    run = lease_take(run_id=run_id, using=using)
    job = run_kind(run.kind)(run)
    with LeaseKeeper(run) as keeper:
        try:
            return _Engine(run, job, keeper, on_progress or (lambda _run: None)).work()
        except LeaseLost:
            raise
        except KeyboardInterrupt:
            lease_release(
                run_id=run_id, fence=run.fence, to=RunState.PAUSED, message="Interrupted."
            )
            raise
        except (OperationalError, InterfaceError):
            # The database is gone: nothing can be noted down now. The sweeper finds the run.
            raise
        except Exception as error:
            return _failed(run, error)


def _failed(run: Run, error: Exception) -> Run:
    if not isinstance(error, CustodyError):
        log.exception("run %s failed", run.pk)
    text = str(error).strip() or type(error).__name__
    if isinstance(error, PlanOutdated):
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
        self.failures = 0
        self.said_throttle = ""

    def work(self) -> Run:
        self._connected(self._open)
        while True:
            self.keeper.beat()
            self._throttle()
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
                with transaction.atomic(using=self.using, durable=True):
                    self._limits()
                    run = self._locked()
                    if run.current is RunState.PAUSING:
                        self._stop(run)
                        return run, True
                    began = time.monotonic()
                    step = self.job.step(run)
                    self._advance(run, step, time.monotonic() - began)
            except LeaseLost as error:
                self._undo(error)
                raise
            except (DatabaseError, InterfaceError, StepStalled) as error:
                if self._committed_after_all(step, error):
                    run = run_get(self.run_id)
                else:
                    self._again_or_raise(error)
                    continue
            except BaseException as error:
                self._undo(error)
                raise
            assert step is not None
            self.failures = 0
            self.job.committed()
            return run, step.finished

    def _limits(self) -> None:
        """The server itself ends a transaction whose worker was stopped in the middle of it."""
        limits = {
            "lock_timeout": LOCK_LIMIT,
            "statement_timeout": STATEMENT_LIMIT,
            "idle_in_transaction_session_timeout": STEP_BUDGET,
        }
        if connections[self.using].pg_version >= 170_000:
            limits["transaction_timeout"] = STEP_BUDGET
        calls = ", ".join("pg_catalog.set_config(%s, %s, true)" for _ in limits)
        values = [x for name, s in limits.items() for x in (name, f"{int(s * 1000)}ms")]
        with connections[self.using].cursor() as cursor:
            cursor.execute(f"SELECT {calls}", values)

    def _advance(self, run: Run, step: Step, seconds: float) -> None:
        run.cursor = step.cursor
        run.done += step.done
        run.active_seconds += seconds
        for note in step.notes:
            run_log(run, note)
        if step.finished:
            transition(run, RunState.VERIFYING, f"All work done: {run.done:,} {run.unit}.")
        else:
            run.save(update_fields=["cursor", "done", "active_seconds"])

    def _stop(self, run: Run) -> None:
        if run.stop_with == "cancel":
            run_end_cancelled(run, f"Cancelled after {run.done:,} {run.unit}.")
        else:
            transition(run, RunState.PAUSED, f"Paused after {run.done:,} {run.unit}.")

    def _committed_after_all(self, step: Step | None, error: Exception) -> bool:
        """Whether a step whose COMMIT gave an error is in the database all the same.

        Asked under the run's lock, so an old session that still commits is waited for.
        """
        if step is None:
            self._undo(error)
            return False
        committed = False

        def look() -> None:
            nonlocal committed
            with transaction.atomic(using=self.using):
                run = self._locked()
                committed = run.cursor == step.cursor
                if not committed:
                    self.job.rolled_back(error)

        self._connected(look)
        return committed

    def _undo(self, error: BaseException) -> None:
        """After a step that never reached its COMMIT."""
        with suppress(CustodyError):
            self.job.rolled_back(error)

    def _again_or_raise(self, error: Exception) -> None:
        self.failures += 1
        lost = not connections[self.using].is_usable()
        transient = lost or isinstance(error, StepStalled)
        transient = transient or isinstance(error.__cause__, _TRANSIENT)
        if lost:
            connections[self.using].close()
        if not transient or self.failures > MOST_FAILURES:
            raise CustodyError(_told(error)) from error
        said = f"A step was rolled back and is tried again ({self.failures}): {_told(error)}"
        self._connected(lambda: self._note(said))
        self.job.recovered(error, self.keeper.beat)
        time.sleep(min(0.05 * 2**self.failures, 5.0))
        self.keeper.beat()

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
        give_up = time.monotonic() + MOST_THROTTLED
        while (throttle := self.job.throttle()) is not None:
            if throttle.reason != self.said_throttle:
                self._note(f"Slowed down: {throttle.reason}.")
                self.said_throttle = throttle.reason
            time.sleep(throttle.seconds)
            self.keeper.beat()
            if not throttle.again or time.monotonic() > give_up:
                return
            if run_get(self.run_id).current is not RunState.RUNNING:
                return
        if self.said_throttle:
            self._note("Full speed again.")
            self.said_throttle = ""

    def _finish(self) -> Run:
        run = run_get(self.run_id)
        self.job.verify(run, self.keeper.beat)
        with transaction.atomic(using=self.using, durable=True):
            run = self._locked()
            run.result = self.job.finish(run, "complete")
            transition(run, RunState.SUCCEEDED, f"Done: {run.done:,} {run.unit}.")
        self.on_progress(run)
        return run


def _told(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

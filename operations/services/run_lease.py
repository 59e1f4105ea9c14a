"""Who owns a run. A worker that lost its lease can never commit a step again.

Invariant: every step locks the run's row and compares `fence` before it does anything, and `fence`
rises with each new owner. So of two workers that both believe they own a run, only the newer one
commits, whatever was stopped, slow, or cut off in between.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType

import psycopg
from django.conf import settings
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from operations.models import Run
from operations.runs.exceptions import LeaseLost, RunBusy, TransitionRefused
from operations.runs.states import OWNED, RunState
from operations.selectors.runs import run_get, runs_with_dead_lease
from operations.services.runs import queue_again, run_lock, run_log, transition

_TAKE = """
UPDATE custody.operations_run r
SET fence = r.fence + 1,
    worker = %(worker)s,
    backend_pid = pg_catalog.pg_backend_pid(),
    backend_start = (SELECT a.backend_start FROM pg_catalog.pg_stat_activity a
                     WHERE a.pid = pg_catalog.pg_backend_pid()),
    heartbeat_at = clock_timestamp(),
    lease_until = clock_timestamp() + make_interval(secs => %(lease)s),
    started_at = coalesce(r.started_at, clock_timestamp())
WHERE r.id = %(run)s
"""

# The owner's session changes when it had to connect again.
_STAY = """
UPDATE custody.operations_run r
SET backend_pid = pg_catalog.pg_backend_pid(),
    backend_start = (SELECT a.backend_start FROM pg_catalog.pg_stat_activity a
                     WHERE a.pid = pg_catalog.pg_backend_pid()),
    heartbeat_at = clock_timestamp(),
    lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE r.id = %(run)s
RETURNING backend_pid, backend_start, heartbeat_at, lease_until
"""

_RENEW = """
UPDATE custody.operations_run r
SET heartbeat_at = clock_timestamp(),
    lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE r.id = (SELECT i.id FROM custody.operations_run i
              WHERE i.id = %(run)s AND i.fence = %(fence)s
              -- A step of ours holds the lock, and renews the lease itself.
              FOR UPDATE SKIP LOCKED)
"""

_END_OWNER = """
SELECT pg_catalog.pg_terminate_backend(a.pid)
FROM custody.operations_run r
JOIN pg_catalog.pg_stat_activity a ON a.pid = r.backend_pid AND a.backend_start = r.backend_start
WHERE r.id = %(run)s AND r.lease_until < clock_timestamp()
"""


# Runs on the server, so it goes on when the worker is stopped in the middle of a step. The server
# ends by itself a transaction that is idle or too long, but not one that waits for a stopped
# worker to take its data: that takes a pg_terminate_backend (PostgreSQL's manual, "Client
# Connection Defaults"; tcop/postgres.c, ProcessClientWriteInterrupt).
_WATCH = """
DO $watch$
DECLARE
    until timestamptz := clock_timestamp() + make_interval(secs => {seconds});
    began timestamptz;
BEGIN
    LOOP
        PERFORM pg_catalog.pg_stat_clear_snapshot();
        SELECT a.xact_start INTO began
        FROM custody.operations_run r
        JOIN pg_catalog.pg_stat_activity a
          ON a.pid = r.backend_pid AND a.backend_start = r.backend_start
         AND a.application_name = {mark}
        WHERE r.id = {run} AND r.fence = {fence};
        IF began < clock_timestamp() - make_interval(secs => {budget}) THEN
            PERFORM pg_catalog.pg_terminate_backend(r.backend_pid)
            FROM custody.operations_run r WHERE r.id = {run} AND r.fence = {fence};
        END IF;
        -- Not while a step is well under way: nobody would watch it if its worker stopped now.
        EXIT WHEN clock_timestamp() > until
              AND (began IS NULL OR began > clock_timestamp() - interval '0.2 seconds');
        COMMIT;
        PERFORM pg_catalog.pg_sleep(0.1);
        COMMIT;
    END LOOP;
END
$watch$
"""


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def lease_seconds() -> int:
    return int(settings.CUSTODY_RUN_LEASE_SECONDS)


def lease_end_stale_owner(*, run_id: int, using: str) -> bool:
    """Ends the database session of an owner whose lease ran out, and with it every lock it holds.

    A stopped process (SIGSTOP, a frozen machine) keeps its transaction open and would hold the
    run's row, and rows of the governed application, for ever.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(_END_OWNER, {"run": run_id})
        return any(row[0] for row in cursor.fetchall())


def lease_take(*, run_id: int, using: str = "default") -> Run:
    """Makes this process the owner of a queued run, or of one whose owner is gone.

    Raises:
        RunBusy: a living worker owns it.
        TransitionRefused: it is not in a state in which anybody could work on it.
    """
    if run_id in runs_with_dead_lease(run_id=run_id, using=using):
        lease_end_stale_owner(run_id=run_id, using=using)
    with transaction.atomic(using=using):
        with connections[using].cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '5s'")
        run = run_lock(run_id)
        if run.current in OWNED:
            if not runs_with_dead_lease(run_id=run_id, using=using):
                raise RunBusy(
                    f"Run {run_id} is in the hands of worker {run.worker}, "
                    f"last heard of at {run.heartbeat_at:%H:%M:%S}."
                )
            queue_again(run, f"Worker {run.worker} is gone.")
        elif run.current is not RunState.QUEUED:
            raise TransitionRefused(
                f"Run {run_id} is {run.current.label.lower()}: only a queued run can be worked on."
            )
        stop = run.stop_with
        transition(run, RunState.RUNNING, f"Taken by worker {worker_name()}.")
        if stop:
            # What was asked of the last owner is asked of this one.
            transition(run, RunState.PAUSING, f"Still to {stop}.")
            run.stop_with = stop
            run.save(update_fields=["stop_with"])
        with connections[using].cursor() as cursor:
            cursor.execute(
                _TAKE, {"run": run_id, "worker": worker_name(), "lease": lease_seconds()}
            )
        run.refresh_from_db()
        return run


def lease_check(*, run_id: int, fence: int) -> Run:
    """The run, locked, still owned with this fence; its lease begins anew. Raises LeaseLost."""
    run = run_lock(run_id)
    if run.fence != fence or run.current not in OWNED:
        raise LeaseLost(
            f"Run {run_id} was taken over by {run.worker or 'another worker'}, or ended; "
            "this worker stopped and committed nothing more."
        )
    with connections[run.database].cursor() as cursor:
        cursor.execute(_STAY, {"run": run_id, "lease": lease_seconds()})
        run.backend_pid, run.backend_start, run.heartbeat_at, run.lease_until = cursor.fetchone()
    return run


def lease_release(*, run_id: int, fence: int, to: RunState, message: str) -> None:
    """Gives the run back before it is over, for example because the process is told to end."""
    with transaction.atomic():
        try:
            run = lease_check(run_id=run_id, fence=fence)
        except LeaseLost:
            return
        if to is RunState.PAUSED and (
            run.current is RunState.VERIFYING or run.stop_with == "cancel"
        ):
            # Little is left to do, or to cancel: the next worker does it.
            queue_again(run, message, level="info")
            return
        if run.current is RunState.RUNNING and to is RunState.PAUSED:
            transition(run, RunState.PAUSING, message)
        transition(run, to, message)


class LeaseKeeper:
    """Renews the lease while long work goes on, and watches that no step outlasts its budget.

    A thread with a connection of its own. A process that is stopped or killed stops renewing:
    that is the point. The watching goes on without it, on the server.
    """

    def __init__(self, run: Run, *, step_budget: float) -> None:
        """`step_budget`: seconds after which a session that is in a step is ended."""
        self._run_id, self._fence = run.pk, run.fence
        self._budget = step_budget
        self._connection: BaseDatabaseWrapper = connections[run.database]
        self._session: psycopg.Connection | None = None
        self._end = threading.Event()
        self.lost = False
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        give_up = time.monotonic() + 10
        # Again and again: the first may come a moment before what it is to end.
        while self._thread.is_alive() and time.monotonic() < give_up:
            with suppress(psycopg.Error, AttributeError):
                self._session.cancel_safe(timeout=1)  # type: ignore[union-attr]
            self._thread.join(timeout=0.1)

    def beat(self) -> None:
        """Raises LeaseLost once another worker has taken over."""
        if self.lost:
            raise LeaseLost(f"Run {self._run_id} was taken over by another worker.")

    def _keep(self) -> None:
        parameters = self._connection.get_connection_params()
        parameters.pop("cursor_factory", None)
        parameters.pop("context", None)
        while not self._end.is_set():
            try:
                if self._session is None:
                    self._session = psycopg.connect(**parameters, autocommit=True)
                self._renew(self._session)
                self._watch(self._session)
            except psycopg.Error:
                self._close()
                self._end.wait(0.25)
        self._close()

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _watch(self, session: psycopg.Connection) -> None:
        """Until the lease has to be renewed."""
        session.execute(
            sql.SQL(_WATCH).format(
                seconds=sql.Literal(lease_seconds() / 4),
                budget=sql.Literal(self._budget),
                mark=sql.Literal(step_mark(self._run_id)),
                run=sql.Literal(self._run_id),
                fence=sql.Literal(self._fence),
            )
        )

    def _renew(self, session: psycopg.Connection) -> None:
        values = {"run": self._run_id, "fence": self._fence, "lease": lease_seconds()}
        if session.execute(sql.SQL(_RENEW), values).rowcount == 0:
            row = session.execute(
                "SELECT fence FROM custody.operations_run WHERE id = %s", [self._run_id]
            ).fetchone()
            self.lost = row is None or row[0] != self._fence


def step_mark(run_id: int) -> str:
    """The application_name of a session in a step: whoever looks at its locks sees what it is."""
    return f"custody run {run_id}"


def run_fail(*, run_id: int, fence: int, error: str) -> Run:
    """Keeps the error; the run can be resumed from its cursor."""
    with transaction.atomic():
        run = lease_check(run_id=run_id, fence=fence)
        run.error = error
        transition(run, RunState.FAILED, error, level="error")
        return run


def run_sweep(*, using: str = "default") -> list[int]:
    """Takes every run from an owner who is gone; returns the queued runs that want a worker.

    What the broker lost, or a killed worker left behind, is found here: state lives in PostgreSQL.
    """
    for run_id in runs_with_dead_lease(using=using):
        lease_end_stale_owner(run_id=run_id, using=using)
        with transaction.atomic(using=using):
            run = run_lock(run_id)
            if run.current not in OWNED or not runs_with_dead_lease(run_id=run_id, using=using):
                continue
            run.dispatched_at = None
            queue_again(run, f"Worker {run.worker} is gone; queued.")
    return _to_dispatch(using)


def _to_dispatch(using: str) -> list[int]:
    with connections[using].cursor() as cursor:
        cursor.execute(
            """
            UPDATE custody.operations_run SET dispatched_at = clock_timestamp()
            WHERE state = 'queued'
              AND (dispatched_at IS NULL
                   OR dispatched_at < clock_timestamp() - interval '60 seconds')
            RETURNING id
            """
        )
        return [row[0] for row in cursor.fetchall()]


__all__ = [
    "LeaseKeeper",
    "lease_check",
    "lease_end_stale_owner",
    "lease_release",
    "lease_take",
    "run_fail",
    "run_get",
    "run_log",
    "run_sweep",
    "worker_name",
]

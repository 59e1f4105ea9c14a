"""Who owns a run. A worker that lost its lease can never commit a step again.

Invariant: every step locks the run's row and compares `fence` before it does anything, and `fence`
rises with each new owner. So of two workers that both believe they own a run, only the newer one
commits, whatever was stopped, slow, or cut off in between.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from django.conf import settings
from django.db import OperationalError, connections, transaction
from psycopg.errors import LockNotAvailable

from operations.models import Run
from operations.runs.exceptions import LeaseLost, RunBusy, TransitionRefused
from operations.runs.states import OWNED, RunState
from operations.selectors.runs import run_get, runs_with_dead_lease
from operations.services.runs import queue_again, run_lock, run_log, transition

LOCK_SECONDS = 5.0
"""For which a run's row is waited for: longer than a step, and than a session takes to end."""

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
    lease_until = greatest(
        r.lease_until, clock_timestamp() + make_interval(secs => %(lease)s))
WHERE r.id = %(run)s
RETURNING backend_pid, backend_start, heartbeat_at, lease_until
"""

_END_OWNER = """
SELECT pg_catalog.pg_terminate_backend(a.pid)
FROM custody.operations_run r
JOIN pg_catalog.pg_stat_activity a ON a.pid = r.backend_pid AND a.backend_start = r.backend_start
WHERE r.id = %(run)s AND r.lease_until < clock_timestamp()
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
        run = _lock_soon(run_id, using)
        if run.current in OWNED:
            if not runs_with_dead_lease(run_id=run_id, using=using):
                raise RunBusy(
                    f"Run {run_id} is in the hands of worker {run.worker}, "
                    f"last heard of at {run.heartbeat_at:%H:%M:%S}."
                )
            run.losses += 1
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


def _lock_soon(run_id: int, using: str) -> Run:
    _wait_briefly(using)
    try:
        return run_lock(run_id)
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise RunBusy(f"Another worker is at work on run {run_id} at this moment.") from error
        raise


def lease_check(*, run_id: int, fence: int, seconds: float | None = None) -> Run:
    """The run, locked, still owned with this fence; its lease begins anew.

    Args:
        seconds: for which it is ours, when that has to be longer than usual.

    Raises:
        LeaseLost: another worker took it over, or somebody ended it.
    """
    run = run_lock(run_id)
    if run.fence != fence or run.current not in OWNED:
        raise LeaseLost(
            f"Run {run_id} was taken over by {run.worker or 'another worker'}, or ended; "
            "this worker stopped and committed nothing more."
        )
    with connections[run.database].cursor() as cursor:
        cursor.execute(_STAY, {"run": run_id, "lease": seconds or lease_seconds()})
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
        # A session that does not end yet must not keep the other runs waiting: the next sweep.
        with suppress(OperationalError), transaction.atomic(using=using):
            _wait_briefly(using)
            run = run_lock(run_id)
            if run.current in OWNED and runs_with_dead_lease(run_id=run_id, using=using):
                run.dispatched_at = None
                run.losses += 1
                queue_again(run, f"Worker {run.worker} is gone; queued.")
    return _to_dispatch(using)


def _wait_briefly(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT pg_catalog.set_config('lock_timeout', %s, true)",
            [f"{int(LOCK_SECONDS * 1000)}ms"],
        )


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

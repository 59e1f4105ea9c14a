"""What keeps a lease alive while its owner works, and ends a step that outlasts its budget.

Invariant (DESIGN, rule 3): no transaction of ours that holds locks lasts over 2 seconds, also when
its worker was stopped in the middle of it.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

import psycopg
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from operations.models import Run
from operations.runs.exceptions import LeaseLost
from operations.services.run_lease import lease_seconds

_RENEW = """
UPDATE custody.operations_run r
SET heartbeat_at = clock_timestamp(),
    lease_until = greatest(
        r.lease_until, clock_timestamp() + make_interval(secs => %(lease)s))
WHERE r.id = (SELECT i.id FROM custody.operations_run i
              WHERE i.id = %(run)s AND i.fence = %(fence)s
              -- A step of ours holds the lock, and renews the lease itself.
              FOR UPDATE SKIP LOCKED)
"""

# Runs on the server, so it goes on when the worker is stopped in the middle of a step. The server
# ends by itself a transaction that is idle or too long, but not one that waits for a stopped
# worker to take its data: that takes a pg_terminate_backend (PostgreSQL's manual, "Client
# Connection Defaults"; tcop/postgres.c, ProcessClientWriteInterrupt).
_WATCH = """
DO $watch$
DECLARE
    until timestamptz := clock_timestamp() + make_interval(secs => {seconds});
    owner integer;
    began timestamptz;
BEGIN
    LOOP
        PERFORM pg_catalog.pg_stat_clear_snapshot();
        SELECT a.pid, CASE WHEN a.application_name = {mark} THEN a.xact_start END
        INTO owner, began
        FROM custody.operations_run r
        JOIN pg_catalog.pg_stat_activity a
          ON a.pid = r.backend_pid AND a.backend_start = r.backend_start
        WHERE r.id = {run} AND r.fence = {fence};
        EXIT WHEN owner IS NULL;
        IF began < clock_timestamp() - make_interval(secs => {budget}) THEN
            PERFORM pg_catalog.pg_terminate_backend(owner);
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

    def __enter__(self) -> Self:
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
                if self._watch(self._session):
                    continue
            except psycopg.Error:
                self._close()
            self._end.wait(0.25)
        self._close()

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _watch(self, session: psycopg.Connection) -> bool:
        """Until the lease has to be renewed; False when there was nobody to watch."""
        began = time.monotonic()
        session.execute(
            sql.SQL(_WATCH).format(
                seconds=sql.Literal(lease_seconds() / 4),
                budget=sql.Literal(self._budget),
                mark=sql.Literal(step_mark(self._run_id)),
                run=sql.Literal(self._run_id),
                fence=sql.Literal(self._fence),
            )
        )
        return time.monotonic() - began > 0.05

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

"""Signs that the server has enough to do without us.

A role without pg_monitor sees NULL in place of the figures of other roles' sessions: what cannot be
seen does not slow a run down (`manage.py roles_sql` prints the grant).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.db import connections

from operations.catalogue.types import TableName
from operations.runs.kinds import Throttle

REPLICA_LAG_SECONDS = 10
LONG_TRANSACTION_SECONDS = 15 * 60
_EVERY_SECONDS = 5.0

_SIGNALS = """
SELECT
  (SELECT max(extract(epoch FROM r.replay_lag)) FROM pg_catalog.pg_stat_replication r) AS lag,
  (SELECT max(extract(epoch FROM clock_timestamp() - a.xact_start))
     FROM pg_catalog.pg_stat_activity a
     WHERE a.backend_xmin IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid()
       AND a.datname = pg_catalog.current_database()
       AND a.backend_type = 'client backend') AS oldest,
  EXISTS (SELECT FROM pg_catalog.pg_stat_progress_vacuum v
     JOIN pg_catalog.pg_class c ON c.oid = v.relid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     JOIN unnest(%s::text[], %s::text[]) AS l (schema, name)
       ON l.schema = n.nspname AND l.name = c.relname) AS vacuumed
"""


class Health:
    """Asked before every batch; asks the server every few seconds."""

    def __init__(self, leaves: Sequence[TableName], *, using: str = "default") -> None:
        self._schemas = [leaf.schema for leaf in leaves]
        self._names = [leaf.name for leaf in leaves]
        self._using = using
        self._asked = -_EVERY_SECONDS
        self._answer: Throttle | None = None

    def throttle(self, last_batch_seconds: float) -> Throttle | None:
        """How the next batch is put off. A lagging replica stops us; the rest halves our pace."""
        if time.monotonic() - self._asked >= _EVERY_SECONDS or (
            self._answer is not None and self._answer.again
        ):
            self._answer = self._look(last_batch_seconds)
            self._asked = time.monotonic()
        return self._answer

    def _look(self, last_batch_seconds: float) -> Throttle | None:
        with connections[self._using].cursor() as cursor:
            cursor.execute(_SIGNALS, [self._schemas, self._names])
            lag, oldest, vacuumed = cursor.fetchone()
        if lag is not None and lag > REPLICA_LAG_SECONDS:
            return Throttle(2.0, "a replica is over 10 s behind", again=True)
        pause = min(max(last_batch_seconds, 0.05), 2.0)
        if oldest is not None and oldest > LONG_TRANSACTION_SECONDS:
            return Throttle(
                pause, "a transaction has been open for over 15 minutes and keeps dead rows"
            )
        if vacuumed:
            return Throttle(pause, "autovacuum is at work on the table")
        return None

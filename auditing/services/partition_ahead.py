"""Partitions for the months to come: the last one of each history is split before its time comes.

Invariant: there is a partition for every moment a change may come at, before, during and after:
a missing one would fail the application's write.

The last partition reaches to the end of time and is empty. It is cut at the end of its month in one
transaction of milliseconds, whose lock is waited for so briefly that no writer notices.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import psycopg
from django.db import OperationalError, connections, transaction
from psycopg import sql

from auditing.models import TrackedTable
from operations.catalogue.identifiers import Identifier
from operations.services.alerts import alert_raise, alert_resolve
from operations.services.scheduled_jobs import scheduled_job_begin
from operations.session import set_local

PARTITION_AHEAD = "auditing.partition_ahead"

MONTHS = 24
"""For which there are partitions of one month each."""
LOCK_MILLISECONDS = 200
ATTEMPTS = 25
"""Per history and day: whoever reads or writes it in a long transaction is in the way."""
_KEY = "history-partitions:"

# The last partition, from when it takes rows, and the months that it is to be cut into: each from
# its begin to its end, and one from there on.
_LAST = """
SELECT c.relname::text AS last, c.oid::bigint AS oid, m.begin::text, m.until::text,
    t.history_name || to_char(m.until AT TIME ZONE 'UTC', '"_p"YYYYMM') AS next
FROM custody.auditing_trackedtable AS t
JOIN pg_catalog.pg_inherits AS i
    ON i.inhparent = to_regclass(format('history.%%I', t.history_name))
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
CROSS JOIN LATERAL (
    SELECT substring(pg_get_expr(c.relpartbound, c.oid)
        FROM '^FOR VALUES FROM \\(''([^'']+)''\\) TO \\(MAXVALUE\\)$')::timestamptz AS begin
) AS b
CROSS JOIN LATERAL (
    SELECT b.begin, date_trunc('month', b.begin, 'UTC') + interval '1 month' AS until
) AS m
WHERE t.id = %s AND b.begin < %s
"""


@dataclass(frozen=True)
class Ahead:
    """What one call came to."""

    made: int
    """Partitions."""
    behind: tuple[str, ...]
    """Histories that could not be cut, each with what was in the way."""


def partition_ahead(
    *, months: int = MONTHS, nightly: bool = False, using: str = "default"
) -> Ahead:
    """Cuts the last partition of each history until there are `months` of a month each.

    What is in use the whole time is left to the next call, and an alert tells when less than half
    of the months are left. A second call finds nothing to do.
    """
    if nightly:
        scheduled_job_begin(name=PARTITION_AHEAD)
    made, behind = 0, []
    for tracked in TrackedTable.objects.using(using).filter(database=using):
        key = f"{_KEY}{tracked.pk}"
        try:
            while _cut(tracked, months, using):
                made += 1
        except OperationalError as error:
            behind.append(f"{tracked.history}: {' '.join(str(error).split())}")
            if _needs(tracked, months // 2, using):
                alert_raise(
                    key=key,
                    summary=f"{tracked.history} gets no partitions for the months to come.",
                    remedy=f"{behind[-1]} End the transactions that use it for days, then run "
                    "manage.py audit_partitions.",
                )
        else:
            alert_resolve(key=key)
    return Ahead(made, tuple(behind))


def _cut(tracked: TrackedTable, months: int, using: str) -> bool:
    """Whether there was anything to cut. Raises OperationalError when the lock cannot be had."""
    for attempt in range(1, ATTEMPTS + 1):
        found = _needs(tracked, months, using)
        if found is None:
            return False
        try:
            with transaction.atomic(using=using):
                set_local(
                    {
                        "lock_timeout": f"{LOCK_MILLISECONDS}ms",
                        "TimeZone": "UTC",
                        "DateStyle": "ISO, YMD",
                    },
                    using=using,
                )
                _split(tracked, found, using)
        except OperationalError as error:
            busy = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
            if not isinstance(error.__cause__, busy) or attempt == ATTEMPTS:
                raise
            # Not in step with whatever is in the way.
            time.sleep(random.uniform(0.1, 0.4))  # noqa: S311
        else:
            return True
    return False


@dataclass(frozen=True)
class _Last:
    name: str
    oid: int
    begin: str
    until: str
    next: str


def _needs(tracked: TrackedTable, months: int, using: str) -> _Last | None:
    """The last partition, if it begins before so many months from now."""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        set_local({"TimeZone": "UTC", "DateStyle": "ISO, YMD"}, using=using)
        cursor.execute("SELECT date_trunc('month', now()) + make_interval(months => %s)", [months])
        [limit] = cursor.fetchone()
        cursor.execute(_LAST, [tracked.pk, limit])
        row = cursor.fetchone()
    return _Last(*row) if row else None


def _split(tracked: TrackedTable, last: _Last, using: str) -> None:
    names = {
        "history": Identifier("history", tracked.history_name),
        "last": Identifier("history", last.name),
        "next": Identifier("history", last.next),
        "begin": sql.Literal(last.begin),
        "until": sql.Literal(last.until),
    }
    statements = (
        # Made beforehand, for its own lock is nobody's.
        "CREATE TABLE {next} (LIKE {history} INCLUDING DEFAULTS INCLUDING STORAGE)",
        # From here on writers wait, for milliseconds: there is nothing in it to be looked at.
        "ALTER TABLE {history} DETACH PARTITION {last}",
        "ALTER TABLE {history} ATTACH PARTITION {last} FOR VALUES FROM ({begin}) TO ({until})",
        "ALTER TABLE {history} ATTACH PARTITION {next} FOR VALUES FROM ({until}) TO (MAXVALUE)",
    )
    with connections[using].cursor() as cursor:
        for statement in statements:
            cursor.execute(sql.SQL(statement).format(**names))

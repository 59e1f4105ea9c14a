"""What is left of redacted values on the disk, and in the statistics, after they were set to NULL.

PostgreSQL writes a changed row anew and keeps the old one until VACUUM was there; VACUUM makes its
place free, and the bytes stay until something else is written there. Only writing the table anew
(VACUUM FULL, pg_repack) leaves them behind. ANALYZE replaces the most common values and the
histogram that the planner keeps of a column.

Source: PostgreSQL's manual, VACUUM, and 24.1 "Routine Vacuuming"; pg_statistic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg
from django.db import OperationalError, connections
from psycopg import sql

from auditing.models import SealSection, TrackedTable
from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import TableName
from operations.runs.kinds import Beat

WAIT = {"lock_timeout": "10s"}
"""For another VACUUM; writers are not kept out by this one."""
BRIEF = {"lock_timeout": "1s", "statement_timeout": "2s"}
"""Nobody reads or writes the table while it is written anew."""

# Who owns the database may vacuum all of it but what the cluster shares.
_MAY = """
SELECT n.nspname, c.relname,
    pg_has_role(current_user, c.relowner, 'USAGE')
    OR pg_has_role(current_user, d.datdba, 'USAGE')
    OR (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN (SELECT datdba FROM pg_database WHERE datname = current_database()) AS d
WHERE c.oid = ANY (%s::oid[])
ORDER BY n.nspname, c.relname
"""
_ANALYSED = """
SELECT EXISTS (SELECT FROM pg_stats WHERE schemaname = %s AND tablename = %s AND inherited)
"""


@dataclass
class Space:
    """Tables by name. JSON, as it stands in the result and in the certificate."""

    vacuumed: list[str] = field(default_factory=list)
    rewritten: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """What could not be done, and how it is done by hand."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def redact_space(
    tracked: TrackedTable, partitions: Sequence[int], *, full: bool, beat: Beat, using: str
) -> Space:
    """Vacuums and analyses what a redaction wrote to. Outside a transaction; repeatable.

    Args:
        partitions: OIDs of those of the history that lost values.
        full: writes each anew, as far as that takes two seconds at most.
    """
    space = Space()
    for name, may in _tables(partitions, using):
        beat()
        if not may:
            space.left.append(f"VACUUM (ANALYZE) {name}; as its owner: the console's role may not.")
            continue
        _vacuum(name, space, using)
        if full:
            _rewrite(name, space, using)
    beat()
    _statistics(tracked, space, using)
    return space


def _tables(partitions: Sequence[int], using: str) -> list[tuple[TableName, bool]]:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT %s::pg_catalog.regclass::pg_catalog.oid::pg_catalog.int8",
            [f'custody."{SealSection._meta.db_table}"'],
        )
        sections = cursor.fetchone()[0]
        cursor.execute(_MAY, [[*partitions, sections]])
        return [(TableName(schema, name), bool(may)) for schema, name, may in cursor.fetchall()]


def _vacuum(name: TableName, space: Space, using: str) -> None:
    command = sql.SQL("VACUUM (ANALYZE, INDEX_CLEANUP ON) {}").format(name.sql)
    if _done(command, WAIT, using):
        space.vacuumed.append(str(name))
    else:
        space.left.append(f"VACUUM (ANALYZE) {name}; it was in use.")


def _rewrite(name: TableName, space: Space, using: str) -> None:
    if _done(sql.SQL("VACUUM (FULL, ANALYZE) {}").format(name.sql), BRIEF, using):
        space.rewritten.append(str(name))
    else:
        space.left.append(
            f"VACUUM FULL {name}; it takes longer than the two seconds for which the console locks "
            "a table: run it when nobody writes, or use pg_repack."
        )


def _statistics(tracked: TrackedTable, space: Space, using: str) -> None:
    """Those of the history as a whole, where somebody analysed it; and what they were before."""
    with connections[using].cursor() as cursor:
        cursor.execute(_ANALYSED, [tracked.history.schema, tracked.history.name])
        whole = cursor.fetchone()[0]
        cursor.execute(_MAY, [[_statistic(using)]])
        [(_, _, may)] = cursor.fetchall()
    if whole and not _done(sql.SQL("ANALYZE {}").format(tracked.history.sql), WAIT, using):
        space.left.append(f"ANALYZE {tracked.history}; it was in use.")
    if not may:
        space.left.append(
            "VACUUM pg_catalog.pg_statistic; as the database's owner: what the planner knew of the "
            "values stays in its files until then."
        )
    elif not _done(
        sql.SQL("VACUUM {}").format(Identifier("pg_catalog", "pg_statistic")), WAIT, using
    ):
        space.left.append("VACUUM pg_catalog.pg_statistic; it was in use.")


def _statistic(using: str) -> int:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT 'pg_catalog.pg_statistic'::pg_catalog.regclass::pg_catalog.int8")
        return int(cursor.fetchone()[0])


def _done(command: sql.Composable, limits: dict[str, str], using: str) -> bool:
    """Whether the command was done within its limits."""
    try:
        with _limited(limits, using), connections[using].cursor() as cursor:
            cursor.execute(command)
    except OperationalError as error:
        if not isinstance(
            error.__cause__,
            psycopg.errors.LockNotAvailable
            | psycopg.errors.QueryCanceled
            | psycopg.errors.DeadlockDetected,
        ):
            raise
        return False
    return True


@contextmanager
def _limited(limits: dict[str, str], using: str) -> Iterator[None]:
    """For the session, as VACUUM takes no transaction around it."""
    with connections[using].cursor() as cursor:
        for name, value in limits.items():
            cursor.execute("SELECT pg_catalog.set_config(%s, %s, false)", [name, value])
    try:
        yield
    finally:
        with connections[using].cursor() as cursor:
            for name in limits:
                cursor.execute(sql.SQL("RESET {}").format(sql.Identifier(name)))

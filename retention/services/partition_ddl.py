"""The statements that take a partition out of its table, guard it, drop it, or put it back.

Source: PostgreSQL's manual, "ALTER TABLE", DETACH PARTITION and ATTACH PARTITION.

What the application notices: DETACH CONCURRENTLY waits, holding nothing that keeps a reader or a
writer of the table out, for the transactions that use it; afterwards it locks the partition alone,
for `DETACH_LOCK_SECONDS` at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from django.db import connections, transaction
from psycopg import sql

from operations.batches.application_path import application_path
from operations.catalogue.types import TableName
from operations.session import set_local
from retention.selectors.partition_standing import Standing
from retention.selectors.partition_units import PRINTED, Unit

DETACH_LOCK_SECONDS = 1.0
GUARDS = ("custody_guard", "custody_guard_truncate")
_SETTINGS = """
SELECT pg_catalog.set_config(s.name, s.value, false)
FROM unnest(%s::text[], %s::text[]) AS s (name, value)
"""


def detach(here: Standing, *, using: str) -> None:
    """Takes the partition out of its table, or goes on where that was interrupted.

    Outside a transaction. It may be interrupted in the middle: the partition is `leaving` then,
    and new statements do not see its rows any more.

    Raises:
        DatabaseError: it could not be done, or not in time.
    """
    statement = _detach(here, "FINALIZE" if here.place == "leaving" else "CONCURRENTLY")
    path = f"{_quoted(here.parent.schema, using)}, public"
    lock = f"{int(DETACH_LOCK_SECONDS * 1000)}ms"
    # It is several transactions: settings that end with one would not reach the second.
    with _session({"lock_timeout": lock, "search_path": path}, using=using):
        _execute(statement, using)


def finalize(here: Standing, *, using: str) -> None:
    """Ends a detaching that was interrupted, in the transaction under way."""
    with application_path(here.parent, using=using):
        _execute(finalize_statement(here), using)


def finalize_statement(here: Standing) -> sql.Composable:
    return _detach(here, "FINALIZE")


def _detach(here: Standing, how: str) -> sql.Composable:
    return sql.SQL("ALTER TABLE {} DETACH PARTITION {} {}").format(
        here.parent.sql, here.table.sql, sql.SQL(how)
    )


def unguard(leaves: Iterable[TableName], *, using: str) -> None:
    for statement in _unguard(leaves):
        _execute(statement, using)


def guard(leaves: Iterable[TableName], *, using: str) -> None:
    """Whoever writes to them by name ends first; from then on every write is refused."""
    row, table = map(sql.Identifier, GUARDS)
    for leaf in leaves:
        with application_path(leaf, using=using):
            _execute(
                sql.SQL(
                    "CREATE TRIGGER {row} BEFORE INSERT OR UPDATE OR DELETE ON {leaf}"
                    " FOR EACH ROW EXECUTE FUNCTION custody.partition_guard();"
                    " CREATE TRIGGER {table} BEFORE TRUNCATE ON {leaf}"
                    " FOR EACH STATEMENT EXECUTE FUNCTION custody.partition_guard();"
                    # Also for a session that plays changes in from elsewhere.
                    " ALTER TABLE {leaf} ENABLE ALWAYS TRIGGER {row};"
                    " ALTER TABLE {leaf} ENABLE ALWAYS TRIGGER {table}"
                ).format(row=row, table=table, leaf=leaf.sql),
                using,
            )


def lock(here: Standing, *, using: str) -> None:
    """Nobody else reads or writes it, or what is below it, until the transaction ends."""
    _execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(here.table.sql), using)


def drop(here: Standing, *, using: str) -> None:
    """Its files go back to the operating system.

    Raises:
        InternalError: something depends on it (psycopg's DependentObjectsStillExist).
    """
    with transaction.atomic(using=using), application_path(here.parent, using=using):
        _execute(sql.SQL("DROP TABLE {} RESTRICT").format(here.table.sql), using)


def drop_try(here: Standing, *, using: str) -> None:
    """Whether `drop` would do it, without doing it. Raises what it raises."""
    with transaction.atomic(using=using):
        drop(here, using=using)
        transaction.set_rollback(True, using=using)


def attach(
    unit: Unit,
    here: Standing,
    leaves: Iterable[TableName],
    *,
    checks: Iterable[str],
    using: str,
) -> None:
    """Puts it back as it was: without guards, without the CHECK that its detaching left.

    The CHECK spares PostgreSQL from reading the rows once more.

    Args:
        checks: its CHECK constraints before it was detached.
    """
    set_local(PRINTED, using=using)
    added = sorted(set(here.checks) - set(checks))
    with application_path(here.parent, using=using):
        for statement in attach_statements(unit, here, leaves, added):
            _execute(statement, using)


def attach_statements(
    unit: Unit, here: Standing, leaves: Iterable[TableName], added: Iterable[str]
) -> Iterator[sql.Composable]:
    yield from _unguard(leaves)
    yield sql.SQL("ALTER TABLE {} ATTACH PARTITION {} {}").format(
        here.parent.sql, here.table.sql, unit.bounds
    )
    for name in added:
        yield sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
            here.table.sql, sql.Identifier(name)
        )


def _unguard(leaves: Iterable[TableName]) -> Iterator[sql.Composable]:
    for leaf in leaves:
        for name in GUARDS:
            yield sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(name), leaf.sql)


@contextmanager
def _session(settings: dict[str, str], *, using: str) -> Iterator[None]:
    with connections[using].cursor() as cursor:
        cursor.execute(_SETTINGS, [list(settings), list(settings.values())])
    try:
        yield
    finally:
        if connections[using].is_usable():
            with connections[using].cursor() as cursor:
                for name in settings:
                    cursor.execute(sql.SQL("RESET {}").format(sql.Identifier(name)))


def unlimited(*, using: str) -> AbstractContextManager[None]:
    """Statements of this session take as long as they need."""
    return _session({"statement_timeout": "0"}, using=using)


def _quoted(schema: str, using: str) -> str:
    return sql.Identifier(schema).as_string(connections[using].connection)


def _execute(statement: sql.Composable, using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(statement)

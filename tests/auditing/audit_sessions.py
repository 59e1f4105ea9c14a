"""A session of the application: its transaction, and what that has to leave in the history."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg
from psycopg import sql

from .audit_model import Key, Rewrite, Sight, Table, Wanted, look, wanted_after
from .random_ddl import altered
from .random_tables import Shape, Statement

PLAIN = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "search_path": "public",
}
ODD = {
    "DateStyle": "German, DMY",
    "IntervalStyle": "iso_8601",
    "TimeZone": "Asia/Kathmandu",
    "bytea_output": "escape",
    "extra_float_digits": "-5",
    "search_path": "app, pg_catalog",
}
"""Of a session for which values print otherwise."""

_EXPECTED = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.ForeignKeyViolation,
    psycopg.errors.CheckViolation,
    psycopg.errors.NotNullViolation,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    # ON CONFLICT and a deferrable key.
    psycopg.errors.ObjectNotInPrerequisiteState,
)
"""What an application meets without any audit, too."""
_OF_DDL = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.DependentObjectsStillExist,
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateColumn,
    psycopg.errors.DatatypeMismatch,
    psycopg.errors.InvalidTextRepresentation,
    psycopg.errors.NumericValueOutOfRange,
    psycopg.errors.InvalidTableDefinition,
    psycopg.errors.ObjectInUse,
)
Left = tuple[dict[Key, list[Wanted]], ...]
"""What one statement has to leave, table by table."""


class Machine(Protocol):
    def end(self, session: Session, *, kept: bool) -> None: ...


class Session:
    def __init__(
        self, connection: psycopg.Connection[Any], said: list[str], *, odd: bool = False
    ) -> None:
        self.connection, self.said, self.odd = connection, said, odd
        self.complaints: list[str] = []
        connection.add_notice_handler(self._hear)
        for name, value in PLAIN.items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])
        connection.execute("SET lock_timeout = '30ms'")
        self._forget()

    def _hear(self, message: psycopg.errors.Diagnostic) -> None:
        if message.severity_nonlocalized == "WARNING":
            self.complaints.append(str(message.message_primary))

    def _forget(self) -> None:
        self.open = self.altered = self.looks_back = False
        self.wanted: list[Left] = []
        self.rewrites: list[tuple[int, Rewrite]] = []
        self.savepoints: list[tuple[int, int]] = []

    # Its transaction.

    def begin(self, isolation: str) -> None:
        self._say(f"BEGIN ISOLATION LEVEL {isolation}")
        self.open = True
        self.looks_back = isolation == "REPEATABLE READ"

    @contextmanager
    def transaction(self, machine: Machine) -> Iterator[None]:
        """The open one, which stays open, or one that ends here."""
        if self.open:
            yield
            return
        self.begin("READ COMMITTED")
        yield
        machine.end(self, kept=True)

    def savepoint(self) -> None:
        self._say(f"SAVEPOINT s{len(self.savepoints)}")
        self.savepoints.append((len(self.wanted), len(self.rewrites)))

    def rollback_to(self) -> None:
        """To the last savepoint, which is still there afterwards."""
        if self.savepoints:
            self._say(f"ROLLBACK TO s{len(self.savepoints) - 1}")
            wanted, rewrites = self.savepoints[-1]
            del self.wanted[wanted:], self.rewrites[rewrites:]

    def commit(self) -> tuple[list[Left], list[tuple[int, Rewrite]], int | None]:
        row = self.connection.execute(
            "SELECT pg_current_xact_id_if_assigned()::text::bigint"
        ).fetchone()
        self._say("COMMIT")
        now = self.now()
        for _, rewrite in self.rewrites:
            rewrite.committed = now
        ended = self.wanted, self.rewrites, row[0] if row else None
        self._forget()
        return ended

    def rollback(self) -> None:
        self._say("ROLLBACK")
        self._forget()

    def now(self) -> Any:
        return self.connection.execute("SELECT clock_timestamp()").fetchone()[0]  # type: ignore[index]

    def _say(self, text: str | sql.Composable) -> None:
        written = text if isinstance(text, str) else text.as_string(self.connection)
        self.said.append(f"{self.connection.info.backend_pid}: {written}")
        self.connection.execute(sql.SQL(written) if isinstance(text, str) else text)  # type: ignore[arg-type]
        assert not self.complaints

    # What it does.

    def look(self, table: Table) -> Sight | None:
        """None: somebody else has the table for himself."""
        try:
            with self.connection.transaction():
                return look(self.connection, table)
        except psycopg.errors.LockNotAvailable:
            return None

    def attempt(self, statement: Statement) -> bool:
        """False: it could not be done, and nothing of it is left."""
        try:
            with self.connection.transaction():
                if self.odd:
                    self._set(ODD)
                self._do(statement)
                if self.odd:
                    self._set(PLAIN)
        except _EXPECTED as error:
            self.said.append(f"-- {error.diag.message_primary}")
            return False
        self.altered = self.altered or statement.gone == "T"
        return True

    def _set(self, values: dict[str, str]) -> None:
        for name, value in values.items():
            self.connection.execute("SELECT set_config(%s, %s, true)", [name, value])

    def _do(self, statement: Statement) -> None:
        if not statement.copied:
            self._say(statement.text)
            return
        self.said.append(f"{statement.text.as_string()} {statement.copied}")
        with (
            self.connection.cursor() as cursor,
            cursor.copy(statement.text) as copy,
        ):
            for row in statement.copied:
                copy.write_row(row)

    def expect(
        self, tables: Sequence[tuple[Shape, Table]], before: Sequence[Sight], statement: Statement
    ) -> None:
        left = []
        for (_, table), was in zip(tables, before, strict=True):
            sight = self.look(table)
            assert sight is not None
            own = table.oid == statement.table
            moved = statement.moved(was.rows) if own and statement.moved else {}
            left.append(
                wanted_after(
                    table,
                    was,
                    sight,
                    moved=moved,
                    replaced=statement.replaced if own else frozenset(),
                    gone=statement.gone,
                )
            )
        self.wanted.append(tuple(left))

    def ddl(self, text: sql.Composable) -> bool:
        try:
            with self.connection.transaction():
                self._say(text)
        except _OF_DDL as error:
            self.said.append(f"-- {error.diag.message_primary}")
            return False
        self.altered = True
        return True

    def alter(self, shape: Shape, table: Table, seed: int) -> None:
        before, now = self.look(table), self.now()
        if before is None:
            return
        if self.ddl(altered(shape, table, before, seed)):
            after = self.look(table)
            assert after is not None
            self._rewritten(table, before, after, now)

    def _rewritten(self, table: Table, before: Sight, after: Sight, now: Any) -> None:
        """Which columns have other values now."""
        assert before.rows.keys() == after.rows.keys()
        kept = {c.attnum for c in after.columns if c.generated != "v"}
        for attnum in sorted(kept):
            if any(
                before.rows[key].get(attnum) != image[attnum] for key, image in after.rows.items()
            ):
                self.rewrites.append((table.oid, Rewrite(attnum, now)))

    # Waiting for another one.

    @contextmanager
    def waiting(self, statement: Statement) -> Iterator[threading.Event]:
        """The statement runs beside; afterwards `done` tells whether it could be done."""
        ended = threading.Event()
        self.done = False
        self.connection.execute("SET lock_timeout = '5s'")

        def run() -> None:
            try:
                self.done = self.attempt(statement)
            except BaseException as error:
                self.error: BaseException = error
            else:
                del self.error
            finally:
                ended.set()

        self.error = RuntimeError("never ended")
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield ended
        finally:
            thread.join()
        if hasattr(self, "error"):
            raise self.error
        self.connection.execute("SET lock_timeout = '30ms'")

    def wait_until_blocked(self, view: psycopg.Connection[Any], ended: threading.Event) -> None:
        """Or until there was nothing to wait for."""
        give_up = time.monotonic() + 3
        while not ended.wait(0.001):
            assert time.monotonic() < give_up
            if view.execute(
                "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'",
                [self.connection.info.backend_pid],
            ).fetchone():
                return

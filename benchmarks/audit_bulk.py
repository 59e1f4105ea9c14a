"""Bulk statements of the audit benchmark: one session a case, on emptied tables."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from benchmarks.audit_processor import PeakMemory, processor_seconds
from benchmarks.audit_tables import SOURCE, Way, floor_statements

INSERT, COPY, UPDATE, DELETE = "INSERT", "COPY", "UPDATE", "DELETE"
OPERATIONS = (INSERT, COPY, UPDATE, DELETE)


@dataclass(frozen=True)
class Measured:
    seconds: float
    cpu: float
    """Of the session's process; NaN where it cannot be read."""
    peak_mib: float
    captured: int = 0
    history_bytes: float = 0
    """A row, in the history's tables and their indexes."""
    wal_bytes: float = 0
    """A row, all that the statement wrote."""


def copy_data(url: str) -> bytes:
    with (
        psycopg.connect(url) as session,
        session.cursor() as cursor,
        cursor.copy(f"COPY {SOURCE} TO STDOUT") as blocks,
    ):
        return b"".join(bytes(x) for x in blocks)


def floor_round(url: str, rows: int) -> Iterator[tuple[tuple[str, str], Measured]]:
    with _session(url) as session:
        for name, (table, statement) in floor_statements().items():
            session.execute(f"TRUNCATE {table}")
            yield (name, INSERT), _measure(session, rows, statement)


def bulk_round(
    url: str, ways: Sequence[Way], rows: int, data: bytes, *, turn: int
) -> Iterator[tuple[tuple[str, str], Measured]]:
    """Every way and floor once; which way comes first changes from round to round."""
    yield from floor_round(url, rows)
    first = turn % len(ways)
    for way in [*ways[first:], *ways[:first]]:
        with _session(url) as session:
            history = _leaves(session, way)
            for operation, statement in _statements(way).items():
                if operation in (COPY, INSERT):
                    session.execute(f"TRUNCATE {way.table}")
                if operation == DELETE:
                    # What UPDATE left behind is not what a DELETE of rows costs.
                    session.execute(f"VACUUM {way.table}")
                _empty(session, history)
                copied = data if operation == COPY else None
                yield (
                    (way.name, operation),
                    _measure(session, rows, statement, copied=copied, history=history),
                )
            session.execute(f"TRUNCATE {way.table}")
            _empty(session, history)


def _statements(way: Way) -> dict[str, str]:
    return {
        COPY: f"COPY {way.table} FROM STDIN",
        INSERT: f"INSERT INTO {way.table} SELECT * FROM {SOURCE}",
        UPDATE: f"UPDATE {way.table} SET customer = customer + 1, amount = amount + 1",
        DELETE: f"DELETE FROM {way.table}",
    }


def _measure(
    session: psycopg.Connection[tuple[object, ...]],
    rows: int,
    statement: str,
    *,
    copied: bytes | None = None,
    history: Sequence[str] = (),
) -> Measured:
    pid = session.info.backend_pid
    session.execute("CHECKPOINT")
    size, position = _size(session, history), _wal(session)
    with PeakMemory(pid) as memory:
        began, used = time.perf_counter(), processor_seconds(pid)
        if copied is None:
            session.execute(statement)
        else:
            with session.cursor().copy(statement) as copy:
                copy.write(copied)
        cpu, seconds = processor_seconds(pid) - used, time.perf_counter() - began
    return Measured(
        seconds=seconds,
        cpu=cpu,
        peak_mib=memory.mib,
        captured=sum(_one(session, f"SELECT count(*) FROM {x}") for x in history),
        history_bytes=(_size(session, history) - size) / rows,
        wal_bytes=(_wal(session) - position) / rows,
    )


def _leaves(session: psycopg.Connection[tuple[object, ...]], way: Way) -> list[str]:
    """The history's tables; of a partitioned one its partitions."""
    found = session.execute(
        "SELECT coalesce(leaf.relid, name::regclass)::text FROM unnest(%s::text[]) AS name"
        " LEFT JOIN pg_partition_tree(name::regclass) AS leaf ON leaf.isleaf",
        [list(way.history)],
    )
    return [str(name) for (name,) in found.fetchall()]


def _empty(session: psycopg.Connection[tuple[object, ...]], history: Sequence[str]) -> None:
    if history:
        session.execute(f"TRUNCATE {', '.join(history)}")


def _size(session: psycopg.Connection[tuple[object, ...]], history: Sequence[str]) -> int:
    return sum(_one(session, f"SELECT pg_total_relation_size('{x}')") for x in history)


def _wal(session: psycopg.Connection[tuple[object, ...]]) -> int:
    return _one(session, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")


def _one(session: psycopg.Connection[tuple[object, ...]], query: str) -> int:
    found = session.execute(query).fetchone()
    assert found is not None
    return int(str(found[0]))


@contextmanager
def _session(url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("SET synchronous_commit = off")
        yield session

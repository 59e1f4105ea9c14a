"""Reading a COPY in blocks: all of it, whole rows, and a connection that is of use afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from psycopg import sql

from operations.runs.kinds import StepStalled
from retention.services.copy_out import BLOCK, copy_out

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]

MANY = "SELECT n, repeat('x', 100), NULL, E'a\\nb' FROM generate_series(1, 20000) AS n"


def copy(query: str) -> sql.Composable:
    return sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, HEADER true)").format(sql.SQL(query))


def read(query: str) -> tuple[int, list[bytearray]]:
    blocks: list[bytearray] = []
    return copy_out(copy(query), blocks.append, using="default"), blocks


def attempt(query: str, sink: Callable[[bytearray], None], **limits: str) -> None:
    """In a transaction of its own, which an error rolls back."""
    with transaction.atomic(), connection.cursor() as cursor:
        for name, value in limits.items():
            cursor.execute("SELECT set_config(%s, %s, true)", [name, value])
        copy_out(copy(query), sink, using="default")


def nothing(_block: bytearray) -> None:
    pass


def test_every_byte_arrives_as_psycopg_reads_it() -> None:
    rows, blocks = read(MANY)
    with connection.cursor() as cursor, cursor.copy(copy(MANY)) as theirs:
        expected = b"".join(theirs)
    assert rows == 20_000
    assert b"".join(blocks) == expected


def test_blocks_hold_whole_rows_and_are_of_a_steady_size() -> None:
    _, blocks = read(MANY)
    assert len(blocks) > 5
    assert all(block.endswith(b'b"\n') for block in blocks)
    assert all(BLOCK <= len(block) < BLOCK + 1_000 for block in blocks[:-1])


def test_nothing_to_copy_is_a_header_and_no_rows() -> None:
    rows, blocks = read("SELECT 1 AS one WHERE false")
    assert (rows, b"".join(blocks)) == (0, b"one\n")


def test_rows_that_a_delete_returns_are_copied_and_gone(execute: Execute) -> None:
    execute("CREATE TABLE app.t AS SELECT n FROM generate_series(1, 10) AS n")
    with transaction.atomic():
        rows, blocks = read("DELETE FROM app.t WHERE n > 7 RETURNING n")
    assert (rows, b"".join(blocks)) == (3, b"n\n8\n9\n10\n")
    assert execute("SELECT count(*) FROM app.t") == [(7,)]


@pytest.mark.parametrize(
    ("query", "cause"),
    [
        ("SELECT FROM app.nowhere", psycopg.errors.UndefinedTable),
        ("SELECT 100 / (500 - n) FROM generate_series(1, 900) AS n", psycopg.errors.DivisionByZero),
        ("SELECT pg_sleep(9)", psycopg.errors.QueryCanceled),
        ("SELECT repeat('x', 900), pg_sleep(0.001 * n / n) FROM generate_series(1, 9999) AS n",
         psycopg.errors.QueryCanceled),
    ],
)  # fmt: skip
def test_errors_come_as_djangos_with_their_cause(
    query: str, cause: type[psycopg.Error], execute: Execute
) -> None:
    with pytest.raises(DatabaseError) as raised:
        attempt(query, nothing, statement_timeout="300ms")
    assert isinstance(raised.value.__cause__, cause)
    assert execute("SELECT 1") == [(1,)]


def test_a_row_that_stays_locked_ends_the_copy_with_the_lock_timeout(
    execute: Execute, other_session: Callable[[], psycopg.Connection]
) -> None:
    execute("CREATE TABLE app.t AS SELECT n FROM generate_series(1, 10) AS n")
    writer = other_session()
    writer.execute("BEGIN")
    writer.execute("SELECT FROM app.t WHERE n = 5 FOR UPDATE")
    with pytest.raises(OperationalError) as raised:
        attempt("DELETE FROM app.t RETURNING n", nothing, lock_timeout="50ms")
    assert isinstance(raised.value.__cause__, psycopg.errors.LockNotAvailable)
    assert execute("SELECT count(*) FROM app.t") == [(10,)]


def test_a_reader_that_gives_up_ends_the_statement_and_can_roll_back(execute: Execute) -> None:
    def give_up(_block: bytearray) -> None:
        raise StepStalled("too slow")

    execute("CREATE TABLE app.t AS SELECT n, repeat('x', 500) FROM generate_series(1, 20000) AS n")
    session = connection.connection
    with pytest.raises(StepStalled):
        attempt("DELETE FROM app.t RETURNING *", give_up)
    assert connection.connection is session
    assert execute("SELECT count(*) FROM app.t") == [(20_000,)]


def test_a_session_that_is_ended_in_the_middle_is_an_error_and_not_an_end(
    execute: Execute, other_session: Callable[[], psycopg.Connection]
) -> None:
    killer = other_session()
    (pid,) = execute("SELECT pg_backend_pid()")[0]

    def kill(_block: bytearray) -> None:
        killer.execute("SELECT pg_terminate_backend(%s)", [pid])

    with pytest.raises(DatabaseError):
        attempt("SELECT repeat('x', 1000) FROM generate_series(1, 100000)", kill)
    connection.close()
    assert execute("SELECT 1") == [(1,)]


def test_a_session_that_was_ended_before_the_copy_is_a_lost_connection(
    execute: Execute, other_session: Callable[[], psycopg.Connection]
) -> None:
    """As the server ends a step that took too long: the run takes another, and does not fail."""

    def copy_too_late() -> None:
        with transaction.atomic():
            (pid,) = execute("SELECT pg_backend_pid()")[0]
            other_session().execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            copy_out(copy("SELECT 1"), nothing, using="default")

    with pytest.raises(OperationalError) as raised:
        copy_too_late()
    assert isinstance(raised.value.__cause__, psycopg.OperationalError)
    connection.close()
    assert execute("SELECT 1") == [(1,)]

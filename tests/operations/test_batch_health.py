"""A batch is put off while the server shows signs of strain, and told why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from operations.batches import health
from operations.batches.health import Health
from operations.catalogue.types import TableName
from operations.runs.kinds import Throttle

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]
Connect = Callable[[], psycopg.Connection]

TABLE = TableName("app", "events")


def look(seconds: float = 0.4) -> Throttle | None:
    return Health([TABLE]).throttle(seconds)


def until(wanted: Callable[[Throttle | None], bool]) -> Throttle | None:
    give_up = time.monotonic() + 20
    while not wanted(found := look()):
        assert time.monotonic() < give_up, found
        time.sleep(0.02)
    return found


def test_a_server_at_rest_slows_nothing_down() -> None:
    assert look() is None


def test_a_transaction_open_for_long_halves_the_pace_until_it_ends(
    other_session: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = other_session()
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    session.execute("SELECT 1")
    assert look() is None
    monkeypatch.setattr(health, "LONG_TRANSACTION_SECONDS", 0)
    found = look(0.4)
    assert found is not None
    assert found.seconds == 0.4
    assert not found.again
    assert "a transaction has been open for over 15 minutes" in found.reason
    session.execute("ROLLBACK")
    assert look() is None


def test_our_own_transaction_is_no_reason_to_wait(
    execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LONG_TRANSACTION_SECONDS", 0)
    assert look() is None


def test_a_vacuum_of_the_table_halves_the_pace_and_of_another_does_not(
    execute: Execute, other_session: Connect
) -> None:
    for name in ("events", "others"):
        execute(f"CREATE TABLE app.{name} (id int, filler text)")
        execute(
            f"INSERT INTO app.{name} SELECT n, repeat('x', 900) FROM generate_series(1, 2000) AS n"
        )
    session = other_session()
    session.execute("SET vacuum_cost_delay = 100")
    session.execute("SET vacuum_cost_limit = 1")
    for name, slows in (("others", False), ("events", True)):
        vacuum = threading.Thread(target=_vacuum, args=(session, name))
        vacuum.start()
        try:
            _wait_for_vacuum(execute, name)
            found = look()
            assert (found is not None) is slows
            assert found is None or found.reason == "autovacuum is at work on the table"
        finally:
            session.cancel_safe()
            vacuum.join()
    assert until(lambda found: found is None) is None


def _vacuum(session: psycopg.Connection, name: str) -> None:
    with pytest.raises(psycopg.errors.QueryCanceled):
        session.execute(f"VACUUM app.{name}")


def _wait_for_vacuum(execute: Execute, name: str) -> None:
    give_up = time.monotonic() + 20
    query = "SELECT 1 FROM pg_stat_progress_vacuum WHERE relid = %s::regclass"
    while not execute(query, [f"app.{name}"]):
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_lagging_replica_stops_us_until_it_has_caught_up(
    execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A replica stands in for by a query with the shape of the real one's answer.
    execute("CREATE TABLE app.lag AS SELECT interval '12 seconds' AS replay_lag")
    monkeypatch.setattr(
        health, "_SIGNALS", health._SIGNALS.replace("pg_catalog.pg_stat_replication", "app.lag")
    )
    asked = Health([TABLE])
    found = asked.throttle(0.4)
    assert found is not None
    assert found.again
    assert found.reason == "a replica is over 10 s behind"
    execute("UPDATE app.lag SET replay_lag = interval '1 second'")
    assert asked.throttle(0.4) is None


def test_the_server_is_not_asked_before_every_batch(
    other_session: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Health([TABLE])
    assert asked.throttle(0.4) is None
    monkeypatch.setattr(health, "LONG_TRANSACTION_SECONDS", 0)
    session = other_session()
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    session.execute("SELECT 1")
    assert asked.throttle(0.4) is None
    assert look() is not None

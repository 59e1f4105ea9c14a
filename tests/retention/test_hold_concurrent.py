"""Holds placed while purges run, in processes of their own: once placed, not one row goes."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from operations import vetoes
from operations.catalogue.read import table as read_table
from retention.exceptions import HoldRefused
from retention.models import HoldScope, LegalHold

from .crash import Nursery
from .holding import keys, officer, place
from .purging import make_policy

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]
ROWS = 200_000


@pytest.fixture(autouse=True)
def events(governed: str, execute: Execute) -> None:
    officer("ada")
    execute("CREATE TABLE app.events (id bigint PRIMARY KEY, created_at timestamptz)")
    execute(
        "INSERT INTO app.events SELECT n, timestamptz '2001-01-01' FROM generate_series(1, %s) n",
        [ROWS],
    )
    execute("ANALYZE app.events")


def alive(execute: Execute, ids: list[int]) -> set[int]:
    return {r[0] for r in execute("SELECT id FROM app.events WHERE id = ANY (%s)", [ids])}


def test_what_is_held_when_the_call_returns_is_there_when_the_purge_is_over(
    nursery: Nursery, execute: Execute
) -> None:
    make_policy(archive=False)
    worker = nursery.work(pages=8)
    held: set[int] = set()
    placed = 0
    luck = random.Random(17)
    while worker.alive and placed < 60:
        ids = luck.sample(range(1, ROWS + 1), 3)
        try:
            place(f"case {placed}", rows=[str(each) for each in ids])
        except HoldRefused:
            # One of them went before the hold came.
            continue
        assert alive(execute, ids) == set(ids), "whoever was told that they are held can rely on it"
        held.update(ids)
        placed += 1
    assert worker.end()["end"] == "succeeded"
    assert placed > 3, "the purge was over before anything was held"
    assert LegalHold.objects.count() == placed
    assert {row[0] for row in execute("SELECT id FROM app.events")} == held


def test_a_hold_waits_for_the_batch_under_way_and_tells_when_that_took_the_row(
    nursery: Nursery, execute: Execute
) -> None:
    make_policy()
    worker = nursery.work(at="durable", then="hang", seconds=1.0, pages=64)
    worker.wait_for("durable")
    began = time.monotonic()
    with pytest.raises(HoldRefused, match=r"1 of the named rows are not in app.events: 1\."):
        place("2031-17", rows=["1", str(ROWS)])
    assert time.monotonic() - began < 10
    assert not HoldScope.objects.exists()
    place("2031-17", rows=[str(ROWS)])
    assert worker.end()["end"] == "succeeded"
    assert execute("SELECT id FROM app.events") == [(ROWS,)]


def test_a_whole_table_held_ends_a_purge_in_another_process(
    nursery: Nursery, execute: Execute
) -> None:
    make_policy()
    worker = nursery.work(at="committed", number=3, then="hang", seconds=0.5, pages=8)
    worker.wait_for("committed")
    place("2031-17")
    [(left,)] = execute("SELECT count(*) FROM app.events")
    assert worker.end() == {
        "end": "cancelled",
        "error": "app.events is protected as a whole by hold 2031-17.",
    }
    assert execute("SELECT count(*) FROM app.events") == [(left,)]


def test_a_hold_is_not_kept_waiting_by_batches_that_come_one_after_the_other(
    execute: Execute, other_session: Callable[[], Any]
) -> None:
    """Two sessions that destroy all the time, one of them always in the middle of it."""
    table = read_table("app.events")
    stop = threading.Event()

    def destroy(session: Any) -> None:
        while not stop.is_set():
            with session.transaction():
                session.execute("SELECT pg_advisory_xact_lock_shared(%s)", [vetoes.LOCK])
                time.sleep(0.2)

    threads = [threading.Thread(target=destroy, args=(other_session(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    try:
        began = time.monotonic()
        place("2031-17", rows=["1"])
        assert time.monotonic() - began < 5
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(vetoes.protections(table, using="default")) == 1


def test_a_hundred_thousand_named_rows_are_placed_set_by_set_and_looked_up_by_hash(
    execute: Execute,
) -> None:
    began = time.monotonic()
    hold = place("2031-17", rows=list(keys(100_000)))
    assert time.monotonic() - began < 30
    assert hold.scopes.get().rows.count() == 100_000
    table = read_table("app.events")
    free = vetoes.unprotected(vetoes.protections(table, using="default"), table=table)
    query = f"SELECT count(*) FROM app.events t WHERE {free.as_string(connection.connection)}"
    plan = "\n".join(row[0] for row in execute(f"EXPLAIN {query}"))
    assert "Anti Join" in plan
    assert "SubPlan" not in plan
    assert execute(query) == [(ROWS - 100_000,)]

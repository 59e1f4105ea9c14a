"""A purge with what goes along is killed at any moment, and ends as if it never had been."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from operations.models import Certificate, Run

from .crash import Nursery, Worker, wait_until
from .records import assert_all_there, record_policy, state

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]
TABLES = ("orders", "lines", "picks")


@pytest.fixture
def orders(governed: str, execute: Execute) -> None:
    """Small records, and a large one that takes many steps; a third of the orders are fresh."""
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, created_at timestamptz)")
    execute("CREATE TABLE app.lines (id int PRIMARY KEY, ordered int REFERENCES app.orders)")
    execute(
        "CREATE TABLE app.picks (id int PRIMARY KEY, line int REFERENCES app.lines"
        " ON DELETE CASCADE, after int REFERENCES app.picks)"
    )
    execute(
        "INSERT INTO app.orders SELECT n, CASE WHEN n % 3 > 0 THEN timestamptz '2015-01-01'"
        " ELSE now() END FROM generate_series(1, 90) n"
    )
    # Order 1 has 500 lines beside its own.
    execute(
        "INSERT INTO app.lines SELECT n, CASE WHEN n <= 500 THEN 1 ELSE 1 + n % 90 END"
        " FROM generate_series(1, 770) n"
    )
    execute(
        "INSERT INTO app.picks SELECT n, 1 + n % 770, CASE WHEN n % 4 <> 1 THEN n - 1 END"
        " FROM generate_series(1, 900) n"
    )
    # What follows a pick is in the same order.
    execute(
        "UPDATE app.picks p SET after = NULL FROM app.picks a, app.lines x, app.lines y"
        " WHERE a.id = p.after AND x.id = p.line AND y.id = a.line AND x.ordered <> y.ordered"
    )
    execute("CREATE INDEX ON app.lines (ordered)")
    execute("CREATE INDEX ON app.picks (line)")
    execute("CREATE INDEX ON app.picks (after)")


def due(execute: Execute) -> dict[str, set[int]]:
    """The ids of what is to go."""
    old = "SELECT o.id FROM app.orders o WHERE o.created_at < '2016-01-01'"
    lines = f"SELECT l.id FROM app.lines l WHERE ordered IN ({old})"
    picks = f"SELECT p.id FROM app.picks p WHERE line IN ({lines})"
    queries = zip(TABLES, (old, lines, picks), strict=True)
    return {table: {row[0] for row in execute(query)} for table, query in queries}


def done() -> int:
    return Run.objects.values_list("done", flat=True).first() or 0


def one_step(worker: Worker) -> None:
    before = done()
    wait_until(lambda: done() > before or not worker.alive, "a step")


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_again_and_again_every_row_is_live_or_in_exactly_one_part(
    nursery: Nursery, execute: Execute, orders: None, seed: int
) -> None:
    record_policy("orders", ["lines", "picks"])
    before, going = state(*TABLES), due(execute)
    dice = random.Random(seed)
    for _ in range(4):
        point = dice.choice(["stepping", "copying", "durable", "committed", ""])
        worker = nursery.work("orders", at=point, number=dice.randrange(1, 4))
        if point:
            worker.wait_for(point)
        else:
            one_step(worker)
            time.sleep(dice.uniform(0, 0.05))
        worker.kill()
    assert Run.objects.get().state == "running", "it was killed before it ended"
    assert nursery.work("orders").end() == {"end": "succeeded", "error": ""}
    run = Run.objects.get()
    assert_all_there(before)
    assert [each["rows"] for each in run.result["tables"]] == [
        len(going[table]) for table in TABLES
    ]
    assert {table: set() for table in TABLES} == {
        table: going[table] & {row[0] for row in execute(f"SELECT id FROM app.{table}")}
        for table in TABLES
    }
    assert Certificate.objects.get().body["body"]["tables"] == run.result["tables"]

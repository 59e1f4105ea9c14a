"""What a purge took along goes back with the rows that it belonged to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from operations.services.actors import system_user
from retention.models import Archive
from retention.services.purge_start import purge_run

from .archiving import OLD, command, counts, restore
from .expiring import assert_destroyed
from .purging import live, make_policy, ran

pytestmark = pytest.mark.usefixtures("governed", "small_batches")
Execute = Callable[..., list[tuple[Any, ...]]]
TABLES = ("orders", "lines", "notes")


@pytest.fixture
def before(execute: Execute) -> dict[str, Any]:
    """Ten orders with their lines and the notes on these: gone, and what they were."""
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, created_at timestamptz, buyer text)")
    execute("CREATE TABLE app.lines (id int PRIMARY KEY, order_id int REFERENCES app.orders)")
    execute("CREATE TABLE app.notes (line_id int REFERENCES app.lines, note text)")
    execute("CREATE INDEX ON app.lines (order_id)")
    execute("CREATE INDEX ON app.notes (line_id)")
    execute(f"INSERT INTO app.orders SELECT n, {OLD}, 'b' || n FROM generate_series(1, 10) n")
    execute("INSERT INTO app.lines SELECT n, 1 + mod(n, 10) FROM generate_series(1, 50) n")
    execute("INSERT INTO app.notes SELECT n, 'n' || n FROM generate_series(1, 50, 2) n")
    found = {table: live(f"app.{table}") for table in TABLES}
    dependents = [["app", "lines"], ["app", "notes"]]
    policy = make_policy("orders", dependents=dependents, archive_days=30)
    ran(purge_run(policy=policy, requester=system_user("purger")))
    assert [live(f"app.{table}").total() for table in TABLES] == [0, 0, 0]
    assert Archive.objects.count() == len(TABLES)
    return found


@pytest.fixture
def orders(before: dict[str, Any]) -> Archive:
    return Archive.objects.get(table_name="orders")


def test_all_of_it_goes_back_as_it_was(before: dict[str, Any], orders: Archive) -> None:
    code, document = restore(orders, with_dependents=True)
    assert (code, counts(document)) == (0, (85, 0, 0))
    assert {table: live(f"app.{table}") for table in TABLES} == before


def test_one_order_goes_back_with_its_own(execute: Execute, orders: Archive) -> None:
    assert counts(restore(orders, key=["4"], with_dependents=True)[1]) == (11, 0, 0)
    lines = execute("SELECT id FROM app.lines ORDER BY 1")
    assert lines == [(3,), (13,), (23,), (33,), (43,)]
    assert execute("SELECT line_id FROM app.notes ORDER BY 1") == lines


def test_a_dependent_is_searched_by_itself(orders: Archive) -> None:
    code, document = command("archive_search", table="app.notes", where="note = 'n7'")
    assert (code, [row["values"]["line_id"] for row in document["rows"]]) == (0, [7])


def test_they_end_together(orders: Archive) -> None:
    Archive.objects.update(expires_at=orders.created_at)
    assert command("archive_expire")[0] == 0
    for archive in Archive.objects.all():
        assert_destroyed(archive)

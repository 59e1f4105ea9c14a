"""There is a partition for every month to come, made while the application writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from auditing.models import TrackedTable
from auditing.services import partition_ahead as module
from auditing.services.partition_ahead import partition_ahead
from auditing.services.track import table_track
from operations.models import Alert

from .old_histories import partitions

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]
Connect = Callable[[], psycopg.Connection[Any]]


@pytest.fixture
def orders(governed: str, execute: Execute, person: User) -> TrackedTable:
    execute('CREATE TABLE app.orders (id bigint PRIMARY KEY, "To%tal" int)')
    return table_track("app.orders", actor=person, reason="the law")


def shape(execute: Execute, tracked: TrackedTable) -> list[tuple[str, str]]:
    return execute(
        "SELECT c.relname::text, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i"
        " JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = %s::regclass ORDER BY 1",
        [str(tracked.history)],
    )


def test_the_last_partition_is_cut_and_reaches_to_the_end_of_time_again(
    orders: TrackedTable, execute: Execute
) -> None:
    before = shape(execute, orders)
    assert partition_ahead().made == 0
    assert shape(execute, orders) == before
    assert partition_ahead(months=27).made == 3
    after = shape(execute, orders)
    assert after[: len(before) - 1] == before[:-1]
    assert len(after) == len(before) + 3
    assert after[-1][1].endswith("TO (MAXVALUE)")
    # One follows the other without a gap, each of one month, and each with both indexes.
    bounds = [text.removeprefix("FOR VALUES FROM (").removesuffix(")") for _, text in after]
    ends = [bound.split(") TO (")[1] for bound in bounds]
    assert [bound.split(") TO (")[0] for bound in bounds][1:] == ends[:-1]
    indexes = execute(
        "SELECT count(*) FROM pg_index WHERE indrelid = %s::regclass",
        [f"history.{after[-1][0]}"],
    )
    assert indexes == [(2,)]
    assert partition_ahead(months=27).made == 0


def test_writers_and_readers_go_on_meanwhile(
    orders: TrackedTable, execute: Execute, other_session: Connect
) -> None:
    session, waits, stop = other_session(), [], threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            began = time.monotonic()
            session.execute("INSERT INTO app.orders VALUES (%s, 1)", [number])
            session.execute(f"SELECT count(*) FROM {orders.history}")
            waits.append(time.monotonic() - began)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert partition_ahead(months=30).made == 6
    finally:
        stop.set()
        writer.join()
    [(written,)] = execute(f"SELECT count(*) FROM {orders.history}")
    assert written == len(waits) > 0
    assert max(waits) < 2


def test_a_history_in_use_all_the_time_waits_for_tomorrow_and_is_told_of_in_time(
    orders: TrackedTable,
    execute: Execute,
    other_session: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    monkeypatch.setattr(module, "LOCK_MILLISECONDS", 50)
    before = partitions(execute, orders)
    reader = other_session()
    with reader.transaction():
        reader.execute(f"SELECT FROM {orders.history}")
        done = partition_ahead(months=25)
        assert done.made == 0
        assert [each.split(":")[0] for each in done.behind] == [str(orders.history)]
        # There are enough for a year: tomorrow is soon enough.
        assert not Alert.objects.exists()
        partition_ahead(months=60)
        assert Alert.objects.get(resolved_at=None).key == f"history-partitions:{orders.pk}"
    assert partitions(execute, orders) == before
    assert partition_ahead(months=25).made == 1
    assert not Alert.objects.filter(resolved_at=None).exists()


def test_a_change_of_any_month_has_its_place(orders: TrackedTable, execute: Execute) -> None:
    partition_ahead(months=26)
    for months in (-500, 0, 25, 26, 27, 5000):
        at = timezone.now() + timedelta(days=30.5 * months / 10)
        execute(
            f"INSERT INTO {orders.history} (seq, statement, xid, op, at, layout, db_user)"
            " VALUES (1, 1, 1, 'I', %s, 1, 'app')",
            [at],
        )
    assert execute(f"SELECT count(*) FROM {orders.history}") == [(6,)]

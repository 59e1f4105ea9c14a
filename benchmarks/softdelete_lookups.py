"""Look-ups of benchmarks/softdelete.py: through the view of active rows, and without it."""

from __future__ import annotations

import random
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator

import psycopg

from benchmarks.bench_server import manage

STRETCH = 200
"""Look-ups of one kind before the next kind has its turn."""
_MAKE = """
CREATE SCHEMA {schema};
CREATE TABLE {schema}.customers (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE {schema}.orders (id bigint PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES {schema}.customers ON DELETE CASCADE,
    placed_at timestamptz NOT NULL, note text);
CREATE INDEX ON {schema}.orders (customer_id);
INSERT INTO {schema}.customers SELECT n, 'customer ' || n FROM generate_series(1, {customers}) n
WHERE {which};
INSERT INTO {schema}.orders
SELECT m, 1 + m % {customers}, timestamptz '2026-01-01' + m * interval '1 minute', 'order ' || m
FROM generate_series(1, 10 * {customers}) m, LATERAL (SELECT 1 + m % {customers} AS n) x
WHERE {which};
"""
# 30 of 100 customers; the others' numbers are looked for.
_ACTIVE = "n % 10 NOT IN (3, 6, 9)"
LOOKUPS = {
    "by key": "SELECT customer_id, placed_at, note FROM {orders} WHERE id = $1",
    "by foreign key": "SELECT id, placed_at, note FROM {orders} WHERE customer_id = $1",
}
ORDERS = {
    "without soft delete": "plain.orders",
    "active rows of a third more": "kept.active_orders",
}


def lookups_install(url: str, customers: int, environment: dict[str, str]) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        for schema, which in (("plain", _ACTIVE), ("kept", "true")):
            text = _MAKE.format(schema=schema, customers=customers, which=which)
            session.execute(text.encode())
    enable: list[object] = ["softdelete_enable", "kept.customers", "--no-capture-deletes"]
    manage([*enable, "--no-input", "--reason", "benchmark"], environment)
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(
            "SELECT custody.softdelete_rows('kept.customers'::regclass,"
            " (SELECT jsonb_agg(jsonb_build_array(n::text)) FROM generate_series(1, %s) n"
            "  WHERE n %% 10 IN (3, 6, 9)), 'benchmark', 'function')",
            [customers],
        )
        share = session.execute(
            "SELECT avg((deleted_at IS NOT NULL)::int) FROM kept.orders"
        ).fetchone()
        assert share is not None
        assert abs(float(share[0]) - 0.3) < 0.001, share
        for table in ("plain.customers", "plain.orders", "kept.customers", "kept.orders"):
            session.execute(f"VACUUM (ANALYZE) {table}".encode())
        session.execute("CHECKPOINT")


def lookups_round(url: str, customers: int, seconds: float) -> Iterator[tuple[str, str, float]]:
    """The case, its floor, and the seconds of one look-up: the median of many short stretches.

    One session asks for all of them in turns, through libpq as pgbench does, so that what else the
    machine does meanwhile falls on all alike.
    """
    floor, *_ = ORDERS
    took: dict[tuple[str, str], list[float]] = defaultdict(list)
    dice = random.Random(1)
    with psycopg.connect(url, autocommit=True) as session:
        libpq = session.pgconn
        for name, query in LOOKUPS.items():
            for where, orders in ORDERS.items():
                libpq.prepare(f"{name} {where}".encode(), query.format(orders=orders).encode())
        turn, end = 0, time.monotonic() + seconds
        while time.monotonic() < end or turn < 20:
            turn += 1
            for name in LOOKUPS:
                # All end in 1. Order m is of customer 1 + m % customers, whose number ends in 2.
                wanted = [
                    [str(1 + 10 * dice.randrange(customers // 10)).encode()] for _ in range(STRETCH)
                ]
                for where in ORDERS if turn % 2 else reversed(ORDERS):
                    statement = f"{name} {where}".encode()
                    began = time.perf_counter()
                    for values in wanted:
                        answer = libpq.exec_prepared(statement, values)
                    took[name, where].append((time.perf_counter() - began) / STRETCH)
                    assert answer.ntuples == (1 if name == "by key" else 10), answer.ntuples
    for (name, where), stretches in took.items():
        yield f"{name}, {where}", f"{name}, {floor}", statistics.median(stretches)

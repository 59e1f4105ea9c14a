"""Single records of benchmarks/softdelete.py: an order with 8 lines and a payment at a time."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator

import psycopg

from benchmarks.bench_server import manage
from benchmarks.softdelete_graph import graph_schema

SINGLE_FLOOR = "one order, DELETE with ON DELETE CASCADE"
STATEMENTS = {
    SINGLE_FLOOR: "DELETE FROM plain.orders WHERE id = %s",
    "one order, custody.soft_delete": "SELECT custody.soft_delete('kept.orders', %s::text)",
    "one order, DELETE that is captured": "DELETE FROM taken.orders WHERE id = %s",
    "one order, custody.restore": "SELECT custody.restore(max(id))"
    " FROM custody.retention_deletion WHERE source = 'function' AND record_id = %s::text",
}
LEFT = "SELECT count(*) FROM {schema}.lines WHERE order_id = ANY (%s){active}"


def single_install(url: str, orders: int, environment: dict[str, str]) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        for schema in ("plain", "kept", "taken"):
            graph_schema(session, schema, orders)
    for schema, capture in (("kept", "--no-capture-deletes"), ("taken", "--capture-deletes")):
        enable: list[object] = ["softdelete_enable", f"{schema}.customers", capture]
        manage([*enable, "--no-input", "--reason", "benchmark"], environment)
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("VACUUM (ANALYZE)")
        session.execute("CHECKPOINT")


def single_round(url: str, orders: int, turn: int) -> Iterator[tuple[str, float]]:
    """Each case and its median seconds: 100 orders in turns, in a session that did some before."""
    wanted = range(1 + turn * 110, 1 + turn * 110 + 110)
    assert wanted.stop < orders, orders
    took: dict[str, list[float]] = defaultdict(list)
    with psycopg.connect(url, autocommit=True) as session:
        for order in wanted:
            for case, statement in STATEMENTS.items():
                began = time.perf_counter()
                session.execute(statement.encode(), [order])
                took[case].append(time.perf_counter() - began)
        for schema, active, expected in (
            ("plain", "", 0),
            ("taken", " AND deleted_at IS NULL", 0),
            ("kept", " AND deleted_at IS NULL", 8 * len(wanted)),
        ):
            query = LEFT.format(schema=schema, active=active)
            left = session.execute(query.encode(), [list(wanted)]).fetchone()
            assert left == (expected,), (schema, left)
    for case, seconds in took.items():
        yield case, statistics.median(seconds[10:])

"""The graph of benchmarks/softdelete.py: a customer, orders, lines, payments, for each case."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from benchmarks.bench_server import ROOT, manage, run

FLOOR = "DELETE with ON DELETE CASCADE"
OURS, OURS_BACK = "custody.soft_delete", "custody.restore"
PEERS = {"safe": "django-safedelete", "soft": "django-soft-delete"}
SCHEMAS = ("plain", "kept", *PEERS)
COLUMNS = {
    "plain": "",
    "kept": "",
    "safe": ", deleted timestamptz, deleted_by_cascade boolean NOT NULL DEFAULT false",
    "soft": ", deleted_at timestamptz, restored_at timestamptz, transaction_id uuid",
}
TABLES = ("customers", "orders", "lines", "payments")
_MAKE = """
CREATE SCHEMA {schema};
CREATE TABLE {schema}.customers (id bigint PRIMARY KEY, name text NOT NULL{columns});
CREATE TABLE {schema}.orders (id bigint PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES {schema}.customers ON DELETE CASCADE,
    placed_at timestamptz NOT NULL, note text{columns});
CREATE TABLE {schema}.lines (id bigint PRIMARY KEY,
    order_id bigint NOT NULL REFERENCES {schema}.orders ON DELETE CASCADE,
    product integer NOT NULL, amount numeric(12, 2) NOT NULL{columns});
CREATE TABLE {schema}.payments (id bigint PRIMARY KEY,
    order_id bigint NOT NULL REFERENCES {schema}.orders ON DELETE CASCADE,
    amount numeric(12, 2) NOT NULL, reference text{columns});
CREATE INDEX ON {schema}.orders (customer_id);
CREATE INDEX ON {schema}.lines (order_id);
CREATE INDEX ON {schema}.payments (order_id);
"""
# Of customer 1 and of customer 2, in turns, as rows come in.
_FILL = """
INSERT INTO {schema}.customers (id, name)
SELECT n, 'customer ' || n FROM generate_series(1, 2) n WHERE n = ANY (%(who)s);
INSERT INTO {schema}.orders (id, customer_id, placed_at, note)
SELECT n, 1 + n %% 2, now() - n * interval '1 minute', 'order ' || n
FROM generate_series(1, 2 * %(orders)s) n WHERE 1 + n %% 2 = ANY (%(who)s);
INSERT INTO {schema}.lines (id, order_id, product, amount)
SELECT n, 1 + (n - 1) / 8, n %% 500, n %% 1000 / 10.0
FROM generate_series(1, 16 * %(orders)s) n WHERE 1 + (1 + (n - 1) / 8) %% 2 = ANY (%(who)s);
INSERT INTO {schema}.payments (id, order_id, amount, reference)
SELECT n, n, n %% 1000 / 10.0, 'payment ' || n
FROM generate_series(1, 2 * %(orders)s) n WHERE 1 + n %% 2 = ANY (%(who)s) AND n > 2;
"""


def graph_install(url: str, orders: int, environment: dict[str, str]) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        for schema in SCHEMAS:
            graph_schema(session, schema, orders, COLUMNS[schema])
    enable: list[object] = ["softdelete_enable", "kept.customers", "--no-capture-deletes"]
    manage([*enable, "--no-input", "--reason", "benchmark"], environment)


def graph_schema(session: psycopg.Connection, schema: str, orders: int, columns: str = "") -> None:
    """The two customers' graphs, in a schema of their own."""
    session.execute(_MAKE.format(schema=schema, columns=columns).encode())
    _fill(session, schema, orders, [1, 2])


def graph_round(
    url: str, orders: int, peers: str | None, turn: int
) -> Iterator[tuple[str, float, float]]:
    """Every case once, in another order each time: its name, its seconds, its peak of memory."""
    contenders = ["plain", "kept", *(PEERS if peers else ())]
    for schema in contenders if turn % 2 == 0 else reversed(contenders):
        if schema == "plain":
            yield (FLOOR, *_statement(url, "plain", "DELETE FROM plain.customers WHERE id = 1"))
            _assert_gone(url, "SELECT count(*) FROM plain.{table}", orders)
            with psycopg.connect(url, autocommit=True) as session:
                _fill(session, "plain", orders, [1])
        elif schema == "kept":
            mark = "SELECT count(*) FROM kept.{table} WHERE deleted_at IS NULL"
            yield (
                OURS,
                *_statement(url, "kept", "SELECT custody.soft_delete('kept.customers', '1')"),
            )
            _assert_gone(url, mark, orders)
            back = "SELECT custody.restore(max(id)) FROM custody.retention_deletion"
            yield (OURS_BACK, *_statement(url, "kept", back))
            _assert_back(url, mark, orders)
        else:
            assert peers is not None
            column = "deleted" if schema == "safe" else "deleted_at"
            mark = f"SELECT count(*) FROM {schema}.{{table}} WHERE {column} IS NULL"
            yield (f"{PEERS[schema]}, delete", *_program(url, peers, schema, "delete"))
            _assert_gone(url, mark, orders)
            yield (f"{PEERS[schema]}, restore", *_program(url, peers, schema, "restore"))
            _assert_back(url, mark, orders)


def _fill(session: psycopg.Connection, schema: str, orders: int, who: list[int]) -> None:
    with psycopg.ClientCursor(session) as cursor:
        cursor.execute(_FILL.format(schema=schema).encode(), {"orders": orders, "who": who})


def _tidy(url: str, schema: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        for table in TABLES:
            session.execute(f"VACUUM (ANALYZE) {schema}.{table}".encode())
        session.execute("CHECKPOINT")


def _statement(url: str, schema: str, statement: str) -> tuple[float, float]:
    _tidy(url, schema)
    with psycopg.connect(url, autocommit=True) as session:
        began = time.perf_counter()
        session.execute(statement.encode())
        seconds = time.perf_counter() - began
        status = Path(f"/proc/{session.info.backend_pid}/status")
        said = status.read_text() if status.exists() else "VmHWM: 0 kB"
        return seconds, int(said.partition("VmHWM:")[2].split()[0]) / 1024


def _program(url: str, peers: str, schema: str, action: str) -> tuple[float, float]:
    _tidy(url, schema)
    script = ROOT / "benchmarks" / "softdelete_peers.py"
    said = json.loads(run([peers, script, schema, action], {"DATABASE_URL": url}))
    return said["seconds"], said["peak_mib"]


def _counts(url: str, query: str) -> list[int]:
    with psycopg.connect(url) as session:
        found = []
        for table in TABLES:
            row = session.execute(query.format(table=table).encode()).fetchone()
            assert row is not None
            found.append(row[0])
        return found


def _assert_gone(url: str, query: str, orders: int) -> None:
    assert _counts(url, query) == [1, orders, 8 * orders, orders - 1], _counts(url, query)


def _assert_back(url: str, query: str, orders: int) -> None:
    assert _counts(url, query) == [2, 2 * orders, 16 * orders, 2 * orders - 2], _counts(url, query)

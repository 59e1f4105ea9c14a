"""Windows: none overlaps another, none leaves a row out, whatever the key and whoever writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from operations.batches.walk import Walk, Window, next_window, window_predicate
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table, TableName

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]
Connect = Callable[[], psycopg.Connection]

PAGES = Walk("ctid", (), "pages")


def by(*columns: str) -> Walk:
    return Walk("key", columns, "key")


def windows(table: Table, walk: Walk, *, size: int, **options: Any) -> Iterator[Window]:
    """The windows of every leaf, as a worker asks for them: each after it has done the last."""
    for leaf in sorted(table.leaves or (table.name,)):
        after = None
        while window := next_window(
            table=table, leaf=leaf, walk=walk, after=after, size=size, **options
        ):
            yield window
            after = window.upto


def rows_in(window: Window, table: Table, execute: Execute, column: str = "id") -> list[Any]:
    query = sql.SQL("SELECT {} FROM ONLY {} t WHERE {}").format(
        sql.Identifier("t", column),
        window.leaf.sql,
        window_predicate(window, table, alias="t"),
    )
    return [row[0] for row in execute(query)]


def assert_each_once(table: Table, walk: Walk, execute: Execute, *, size: int) -> int:
    """Returns how many windows there were."""
    seen: list[Any] = []
    count = 0
    for window in windows(table, walk, size=size):
        seen += rows_in(window, table, execute, "mark")
        count += 1
    marks = [row[0] for row in execute(f"SELECT mark FROM {table.name}")]
    assert sorted(seen) == sorted(marks)
    return count


KEYS = {
    "bigint": ("id bigint", "n * 7 - 500"),
    "numeric": ("id numeric", "n / 7.0"),
    "uuid": ("id uuid", "md5(n::text)::uuid"),
    "text": ("id text", "chr(65 + n % 50) || E'\\n\\\\' || chr(39) || chr(34) || n"),
    "text with a collation": ('id text COLLATE "C"', "chr(200 + n) || n"),
    "timestamp": ("id timestamptz", "now() - n * interval '1.000001 s'"),
    "date": ("id date", "date '0044-03-15 BC' + n * 1000"),
    "bytes": ("id bytea", "decode(md5(n::text), 'hex')"),
    "float": ("id float8", "n / 3.0::float8"),
}


@pytest.mark.parametrize("size", [1, 7, 100, 1_000])
@pytest.mark.parametrize("key", KEYS)
def test_windows_of_any_key_hold_every_row_once(key: str, size: int, execute: Execute) -> None:
    column, value = KEYS[key]
    execute(f"CREATE TABLE app.t ({column} PRIMARY KEY, mark int)")
    execute(f"INSERT INTO app.t SELECT {value}, n FROM generate_series(1, 150) AS n")
    table = read_table(TableName("app", "t"))
    count = assert_each_once(table, by("id"), execute, size=size)
    assert count == -(-150 // size)


def test_a_key_of_several_columns_is_walked_in_its_own_order(execute: Execute) -> None:
    execute(
        'CREATE TABLE app.t ("Tenant" text, day date, n int, mark int,'
        ' PRIMARY KEY ("Tenant", day, n))'
    )
    execute(
        "INSERT INTO app.t SELECT 'tenant ' || n % 3, date '2024-01-01' + n % 5, n, n"
        " FROM generate_series(1, 200) AS n"
    )
    table = read_table(TableName("app", "t"))
    assert table.key is not None
    for size in (1, 13, 500):
        assert_each_once(table, by(*table.key.columns), execute, size=size)


def test_rows_of_the_same_age_stay_in_one_window(execute: Execute) -> None:
    execute("CREATE TABLE app.t (mark int, created_at timestamptz)")
    execute(
        "INSERT INTO app.t SELECT n, now() - (n / 40) * interval '1 day'"
        " FROM generate_series(0, 199) AS n"
    )
    table = read_table(TableName("app", "t"))
    assert assert_each_once(table, by("created_at"), execute, size=25) == 5


def test_a_walk_by_age_ends_where_nothing_has_expired(execute: Execute) -> None:
    execute("CREATE TABLE app.t (mark int, created_at timestamptz)")
    execute(
        "INSERT INTO app.t SELECT n, CASE WHEN n > 0 THEN now() - n * interval '1 day' END"
        " FROM generate_series(0, 99) AS n"
    )
    table = read_table(TableName("app", "t"))
    expired = sql.SQL("t.created_at < now() - interval '90.5 days'")
    found = [
        mark
        for window in windows(table, by("created_at"), size=4, within=expired)
        for mark in rows_in(window, table, execute, "mark")
    ]
    assert sorted(found) == list(range(91, 100))


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_windows_of_pages_hold_every_row_once(size: int, execute: Execute) -> None:
    execute("CREATE TABLE app.t (mark int, filler text)")
    execute("INSERT INTO app.t SELECT n, repeat('x', 500) FROM generate_series(1, 200) AS n")
    execute("DELETE FROM app.t WHERE mark BETWEEN 50 AND 120")
    table = read_table(TableName("app", "t"))
    assert_each_once(table, PAGES, execute, size=size)


@pytest.mark.parametrize("walk", [PAGES, by("id")])
def test_an_empty_table_has_no_window(walk: Walk, execute: Execute) -> None:
    execute("CREATE TABLE app.t (id int PRIMARY KEY)")
    table = read_table(TableName("app", "t"))
    assert list(windows(table, walk, size=10)) == []


@pytest.mark.parametrize("walk", [PAGES, by("id", "day")])
def test_a_partitioned_table_is_walked_leaf_by_leaf(walk: Walk, execute: Execute) -> None:
    execute(
        "CREATE TABLE app.t (id int, day date, mark int, PRIMARY KEY (id, day))"
        " PARTITION BY RANGE (day)"
    )
    execute(
        "CREATE TABLE app.t_old PARTITION OF app.t FOR VALUES FROM ('2020-01-01') TO ('2024-01-01')"
        " PARTITION BY RANGE (day)"
    )
    execute(
        'CREATE TABLE app."t 2023" PARTITION OF app.t_old'
        " FOR VALUES FROM ('2023-01-01') TO ('2024-01-01')"
    )
    execute("CREATE TABLE app.t_rest PARTITION OF app.t DEFAULT")
    execute(
        "INSERT INTO app.t SELECT n, date '2023-06-01' + 2 * n, n FROM generate_series(1, 300) AS n"
    )
    table = read_table(TableName("app", "t"))
    assert len(table.leaves) == 2
    # A row of either leaf can have the same ctid: the window names the leaf.
    assert_each_once(table, walk, execute, size=4)


@pytest.mark.parametrize("walk", [PAGES, by("id")])
def test_rows_that_come_at_the_end_during_the_walk_are_reached(
    walk: Walk, execute: Execute, other_session: Connect
) -> None:
    execute("CREATE TABLE app.t (id int PRIMARY KEY, filler text)")
    insert = "INSERT INTO app.t SELECT n, repeat('x', 900) FROM generate_series({}, {}) AS n"
    execute(insert.format(1, 100))
    writer = other_session()
    table = read_table(TableName("app", "t"))
    seen: list[int] = []
    for number, window in enumerate(windows(table, walk, size=5)):
        seen += rows_in(window, table, execute)
        if number == 1:
            writer.execute(insert.format(1001, 1100))
    assert sorted(set(seen)) == sorted(seen)
    assert set(seen) >= set(range(1, 101))
    # All but those that found a place in a page that had been walked already.
    assert len(set(seen) & set(range(1001, 1101))) > 80


def test_a_table_cut_short_during_the_walk_is_walked_to_its_new_end(
    execute: Execute, other_session: Connect
) -> None:
    execute("CREATE TABLE app.t (id int PRIMARY KEY, filler text)")
    execute("INSERT INTO app.t SELECT n, repeat('x', 900) FROM generate_series(1, 400) AS n")
    table = read_table(TableName("app", "t"))
    walked = windows(table, PAGES, size=10)
    next(walked)
    connection.close()
    execute("DELETE FROM app.t WHERE id > 50")
    other_session().execute("VACUUM (TRUNCATE) app.t")
    assert list(walked) == []


def test_a_window_of_pages_costs_the_reading_of_its_pages_only(execute: Execute) -> None:
    execute("CREATE TABLE app.t (id int PRIMARY KEY, filler text)")
    execute("INSERT INTO app.t SELECT n, repeat('x', 900) FROM generate_series(1, 4000) AS n")
    execute("ANALYZE app.t")
    table = read_table(TableName("app", "t"))
    window = list(windows(table, PAGES, size=20))[3]
    where = window_predicate(window, table, alias="t")
    plan = execute(sql.SQL("EXPLAIN DELETE FROM ONLY app.t t WHERE {}").format(where))
    assert any("Tid Range Scan" in line for (line,) in plan)


def test_a_walk_of_pages_can_be_kept_to_where_there_is_something_to_do(execute: Execute) -> None:
    execute("CREATE TABLE app.t (id int PRIMARY KEY, filler text)")
    execute("INSERT INTO app.t SELECT n, repeat('x', 900) FROM generate_series(1, 400) AS n")
    table = read_table(TableName("app", "t"))

    def walked(pages: tuple[int, int]) -> list[tuple[Any, Any]]:
        return [(w.after, w.upto) for w in windows(table, PAGES, size=10, pages=pages)]

    assert walked((7, 30)) == [(("7",), ("17",)), (("17",), ("27",)), (("27",), ("30",))]
    assert walked((0, 0)) == []
    # The table may have been cut short since.
    assert walked((45, 1_000)) == [(("45",), ("50",))]
    assert walked((99, 1_000)) == []


def test_a_window_is_told_to_people_and_manifests_as_json(execute: Execute) -> None:
    execute('CREATE TABLE app."T" (id int PRIMARY KEY)')
    execute('INSERT INTO app."T" SELECT generate_series(1, 30)')
    table = read_table(TableName("app", "T"))
    second = list(windows(table, by("id"), size=10))[1]
    assert second.to_json() == {
        "leaf": ["app", "T"],
        "by": "key",
        "after": ["10"],
        "upto": ["20"],
    }
    assert Walk.from_json(PAGES.to_json()) == PAGES

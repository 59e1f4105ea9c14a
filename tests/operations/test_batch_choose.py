"""Which way a table is walked, in each situation, and what people are told of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from operations.batches.choose import walk_choose
from operations.batches.walk import Walk
from operations.catalogue.read import table as read_table
from operations.catalogue.types import TableName
from operations.exceptions import Refused

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def events(governed: str, execute: Execute) -> None:
    execute("CREATE TABLE app.events (id int PRIMARY KEY, created_at timestamptz, filler text)")
    fill(execute)


def fill(execute: Execute, *, rows: int = 3_000, ties: int = 1) -> None:
    execute(
        "INSERT INTO app.events SELECT n, now() - (n / %s) * interval '1 hour', 'x'"
        " FROM generate_series(1, %s) AS n",
        [ties, rows],
    )
    execute("ANALYZE app.events")


def choose(name: str = "events", **facts: Any) -> Walk:
    return walk_choose(read_table(TableName("app", name)), **facts)


@pytest.mark.usefixtures("events")
def test_a_table_is_walked_page_by_page_and_the_reason_is_given() -> None:
    walk = choose(age_column="created_at", share=0.5)
    assert (walk.by, walk.columns) == ("ctid", ())
    assert walk.reason == "whole pages in their order on disk read every page only once"


@pytest.mark.usefixtures("events")
def test_few_due_rows_are_found_through_the_index_on_their_age(execute: Execute) -> None:
    execute("CREATE INDEX ON app.events (created_at, id)")
    walk = choose(age_column="created_at", share=0.012)
    assert (walk.by, walk.columns) == ("key", ("created_at",))
    assert walk.reason == "about 1.2% of the rows are due and an index leads to them"


@pytest.mark.usefixtures("events")
def test_many_due_rows_are_not_looked_up_one_by_one(execute: Execute) -> None:
    execute("CREATE INDEX ON app.events (created_at)")
    assert choose(age_column="created_at", share=0.06).by == "ctid"
    assert choose(age_column="created_at", share=None).by == "ctid"


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize(
    "index",
    [
        "CREATE INDEX ON app.events (id, created_at)",
        "CREATE INDEX ON app.events (created_at) WHERE id > 5",
        "CREATE INDEX ON app.events USING brin (created_at)",
        "CREATE INDEX ON app.events ((created_at::timestamptz(0)))",
        "SELECT 1",
    ],
)
def test_an_index_that_does_not_lead_to_every_due_row_is_not_walked(
    index: str, execute: Execute
) -> None:
    execute(index)
    assert choose(age_column="created_at", share=0.01).by == "ctid"


def test_ages_that_thousands_of_rows_share_are_not_walked(execute: Execute) -> None:
    execute("CREATE TABLE app.events (id int PRIMARY KEY, created_at timestamptz, filler text)")
    execute("CREATE INDEX ON app.events (created_at)")
    fill(execute, rows=9_000, ties=3_000)
    assert choose(age_column="created_at", share=0.01).by == "ctid"


@pytest.mark.usefixtures("events")
def test_an_age_without_statistics_is_not_walked(execute: Execute) -> None:
    execute("CREATE TABLE app.fresh (id int PRIMARY KEY, created_at timestamptz)")
    execute("CREATE INDEX ON app.fresh (created_at)")
    assert choose("fresh", age_column="created_at", share=0.01).by == "ctid"


def test_every_partition_must_have_the_index(execute: Execute) -> None:
    execute(
        "CREATE TABLE app.events (id int, created_at timestamptz, filler text)"
        " PARTITION BY HASH (id)"
    )
    for part in (0, 1):
        execute(
            f"CREATE TABLE app.events_{part} PARTITION OF app.events"
            f" FOR VALUES WITH (MODULUS 2, REMAINDER {part})"
        )
    fill(execute)
    execute("CREATE INDEX ON app.events_0 (created_at)")
    assert choose(age_column="created_at", share=0.01).by == "ctid"
    execute("CREATE INDEX ON app.events_1 (created_at)")
    assert choose(age_column="created_at", share=0.01).columns == ("created_at",)


def test_mostly_empty_pages_are_not_read_when_a_key_leads_to_the_rows(execute: Execute) -> None:
    execute("CREATE TABLE app.events (id int PRIMARY KEY, created_at timestamptz, filler text)")
    execute("CREATE TABLE app.keyless (id int, created_at timestamptz, filler text)")
    for name in ("events", "keyless"):
        execute(
            f"INSERT INTO app.{name} SELECT n, now(), repeat('x', 900)"
            " FROM generate_series(1, 12000) AS n"
        )
        execute(f"DELETE FROM app.{name} WHERE id % 40 > 0")
        execute(f"VACUUM (ANALYZE) app.{name}")
    walk = choose()
    assert (walk.by, walk.columns) == ("key", ("id",))
    assert walk.reason.startswith("its 1,500 pages are mostly empty: its rows would fit into about")
    assert choose("keyless").by == "ctid"


def test_a_partitioned_table_without_partitions_can_be_walked(execute: Execute) -> None:
    execute("CREATE TABLE app.events (id int, day date) PARTITION BY RANGE (day)")
    assert choose().by == "ctid"


@pytest.mark.superuser
def test_a_table_that_is_no_heap_is_walked_by_its_key_or_refused(execute: Execute) -> None:
    execute("CREATE ACCESS METHOD app_store TYPE TABLE HANDLER heap_tableam_handler")
    try:
        execute("CREATE TABLE app.events (a text, b int, PRIMARY KEY (b, a)) USING app_store")
        execute("CREATE TABLE app.keyless (a text) USING app_store")
        walk = choose()
        assert (walk.by, walk.columns) == ("key", ("b", "a"))
        assert walk.reason == "its rows are not kept in heap pages"
        with pytest.raises(Refused, match="it has no key"):
            choose("keyless")
    finally:
        execute("DROP TABLE IF EXISTS app.events, app.keyless")
        execute("DROP ACCESS METHOD app_store")

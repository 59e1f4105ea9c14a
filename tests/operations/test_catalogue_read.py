"""Finding tables, their sizes, row-level security, and what reading a thousand of them costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from operations.catalogue.exceptions import AmbiguousTableName, NoSuchColumn, NoSuchTable
from operations.catalogue.read import table, table_name_resolve, tables
from operations.catalogue.types import TableName
from tests.operations.statements import execute, fetch, is_superuser

pytestmark = [pytest.mark.sql, pytest.mark.django_db]


def test_every_users_schema_is_read_and_no_other() -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE SCHEMA zoo",
        "CREATE SCHEMA IF NOT EXISTS history",
        "CREATE TABLE history.kept (a int)",
        "CREATE TABLE zoo.b (a int)",
        "CREATE TABLE zoo.a (a int)",
        "CREATE TABLE shop.t (a int)",
        "CREATE UNLOGGED TABLE shop.quick (a int)",
        "CREATE TEMP TABLE passing (a int)",
        "CREATE VIEW shop.seen AS SELECT 1 AS a",
        "CREATE SEQUENCE shop.counter",
    )
    found = [str(each.name) for each in tables()]
    assert found == ["shop.quick", "shop.t", "zoo.a", "zoo.b"]
    assert [str(each.name) for each in tables(schemas=["zoo"])] == ["zoo.a", "zoo.b"]
    assert "kept" in {each.name.name for each in tables(schemas=["history"])}
    assert tables(schemas=[]) == tables(schemas=["nowhere"]) == []


def test_one_table_is_read_as_among_all() -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.users (id int PRIMARY KEY)",
        "CREATE TABLE shop.orders (id int PRIMARY KEY, user_id int REFERENCES shop.users)",
    )
    assert tables(schemas=["shop"]) == [table("orders"), table("shop.users")]
    assert table(TableName("shop", "users")) == table("USERS")


def test_the_consoles_own_tables_are_found_by_their_whole_name_only() -> None:
    execute("CREATE TABLE custody.ledger (a int)")
    assert table("custody.ledger").name == TableName("custody", "ledger")
    with pytest.raises(NoSuchTable):
        table("ledger")


def test_a_name_in_several_schemas_is_ambiguous_and_the_candidates_are_named() -> None:
    execute(
        "CREATE SCHEMA shop",
        'CREATE SCHEMA "Zoo"',
        "CREATE TABLE shop.t (a int) PARTITION BY LIST (a)",
        'CREATE TABLE "Zoo".t (a int)',
    )
    with pytest.raises(AmbiguousTableName) as caught:
        table_name_resolve("t")
    assert str(caught.value) == 'Several schemas have a table t: write "Zoo".t or shop.t.'
    assert caught.value.candidates == (TableName("Zoo", "t"), TableName("shop", "t"))
    assert table_name_resolve('"Zoo".t') == TableName("Zoo", "t")


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        ("user", 'There is no table "user". Did you mean shop.users?'),
        ("shop.user", 'There is no table shop."user". Did you mean shop.users?'),
        ("orders", 'There is no table orders. Did you mean shop."Orders"?'),
        ("shp.users", "There is no table shp.users. Did you mean shop.users?"),
        ("xylophone", "There is no table xylophone."),
        ("x" * 64, f"There is no table {'x' * 64}. Did you mean shop.{'x' * 63}?"),
    ],
)
def test_a_missing_table_is_refused_with_names_that_are_near(wanted: str, answer: str) -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.users (a int)",
        'CREATE TABLE shop."Orders" (a int)',
        f"CREATE TABLE shop.{'x' * 63} (a int)",
    )
    with pytest.raises(NoSuchTable) as caught:
        table(wanted)
    assert str(caught.value) == answer


def test_a_missing_column_is_refused_with_names_that_are_near() -> None:
    execute("CREATE SCHEMA shop", 'CREATE TABLE shop.t (created_at date, "User" text)')
    found = table("shop.t")
    assert str(NoSuchColumn(found, "create_at")) == (
        "The table shop.t has no column create_at. Did you mean created_at?"
    )
    assert str(NoSuchColumn(found, "user")) == (
        'The table shop.t has no column "user". Did you mean "User"?'
    )


def test_rows_are_estimated_for_the_pages_there_are_now() -> None:
    execute("CREATE SCHEMA shop", "CREATE TABLE shop.t (a int, b text)")
    assert (table("shop.t").estimated_rows, table("shop.t").pages) == (0, 0)
    execute("INSERT INTO shop.t SELECT i, repeat('x', 500) FROM generate_series(1, 1500) AS i")
    fresh = table("shop.t")
    assert fresh.estimated_rows == -1
    assert fresh.pages == 100
    assert fresh.estimated_bytes >= 100 * 8192
    execute("ANALYZE shop.t")
    assert table("shop.t").estimated_rows == 1500
    execute("INSERT INTO shop.t SELECT i, repeat('x', 500) FROM generate_series(1, 1500) AS i")
    assert (table("shop.t").estimated_rows, table("shop.t").pages) == (3000, 200)


def test_bytes_count_indexes_and_long_values() -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.t (a int PRIMARY KEY, b text)",
        "ALTER TABLE shop.t ALTER b SET STORAGE EXTERNAL",
        "INSERT INTO shop.t SELECT i, repeat('x', 100000) FROM generate_series(1, 20) AS i",
    )
    assert table("shop.t").pages == 1
    assert table("shop.t").estimated_bytes > 2_000_000


def test_comments_are_read() -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.t (a int)",
        "COMMENT ON TABLE shop.t IS 'Who''s who: \u00fcber'",
        "COMMENT ON COLUMN shop.t.a IS 'not this'",
    )
    assert table("shop.t").comment == "Who's who: \u00fcber"


@contextmanager
def _as_ordinary_role() -> Iterator[None]:
    """As a role without superuser that owns nothing."""
    execute("CREATE ROLE catalogue_reader", "SET LOCAL ROLE catalogue_reader")
    try:
        yield
    finally:
        execute("RESET ROLE")


def test_row_security_is_told_when_it_binds_the_role_that_asks() -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.open (a int)",
        "CREATE TABLE shop.guarded (a int)",
        "ALTER TABLE shop.guarded ENABLE ROW LEVEL SECURITY",
        "CREATE TABLE shop.forced (a int)",
        "ALTER TABLE shop.forced ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE shop.forced FORCE ROW LEVEL SECURITY",
    )

    def told() -> dict[str, bool]:
        return {each.name.name: each.row_security for each in tables(schemas=["shop"])}

    # A superuser is never bound, an owner where it is forced.
    assert told() == {"open": False, "guarded": False, "forced": not is_superuser()}
    if not is_superuser():
        return
    with _as_ordinary_role():
        assert told() == {"open": False, "guarded": True, "forced": True}


def test_row_security_of_a_partition_counts_for_its_root() -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.t (a int) PARTITION BY LIST (a)",
        "CREATE TABLE shop.t1 PARTITION OF shop.t FOR VALUES IN (1)",
        "CREATE TABLE shop.t2 PARTITION OF shop.t FOR VALUES IN (2)",
        "ALTER TABLE shop.t1 ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE shop.t1 FORCE ROW LEVEL SECURITY",
    )
    bound = not is_superuser()
    assert [each.row_security for each in tables(schemas=["shop"])] == [bound, bound, False]


@pytest.mark.superuser
def test_a_role_that_may_not_touch_a_table_reads_all_about_it() -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TYPE shop.mood AS ENUM ('glad')",
        "CREATE TABLE shop.users (id int PRIMARY KEY, m shop.mood)",
        "CREATE TABLE shop.t (a int REFERENCES shop.users) PARTITION BY LIST (a)",
        "CREATE TABLE shop.t1 PARTITION OF shop.t FOR VALUES IN (1)",
        "INSERT INTO shop.users VALUES (1)",
        "INSERT INTO shop.t VALUES (1)",
        "REVOKE ALL ON SCHEMA shop FROM PUBLIC",
    )
    mine = tables(schemas=["shop"])
    with _as_ordinary_role():
        assert tables(schemas=["shop"]) == mine
        assert table("shop.users").pages == 1


def test_a_thousand_tables_cost_as_many_queries_as_one() -> None:
    execute("CREATE SCHEMA few", "CREATE SCHEMA many", "CREATE TABLE few.t (a int PRIMARY KEY)")
    for start in range(0, 1000, 100):
        execute(
            "".join(
                f"CREATE TABLE many.t{number} (a int PRIMARY KEY, b int NOT NULL, c text);"
                f"ALTER TABLE many.t{number} ADD FOREIGN KEY (b) REFERENCES few.t;"
                for number in range(start, start + 100)
            )
        )
    with CaptureQueriesContext(connection) as for_one:
        tables(schemas=["few"])
    with CaptureQueriesContext(connection) as for_thousand:
        found = tables()
    assert len(found) == 1001
    assert len(found[0].referenced_by) == 1000
    assert len(for_thousand) == len(for_one) == 6


def test_reading_keeps_no_lock_on_a_table() -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.t (a int PRIMARY KEY) PARTITION BY LIST (a)",
        "CREATE TABLE shop.t1 PARTITION OF shop.t FOR VALUES IN (1)",
    )
    held = (
        "SELECT mode FROM pg_catalog.pg_locks WHERE pid = pg_backend_pid()"
        " AND relation = 'shop.t1'::regclass ORDER BY mode"
    )
    before = fetch(held)
    tables()
    assert fetch(held) == before

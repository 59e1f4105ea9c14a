"""Partition trees, foreign keys to and from them, and inheritance."""

from __future__ import annotations

import pytest

from operations.catalogue.read import table, tables
from operations.catalogue.types import TableName
from tests.operations.statements import execute

pytestmark = [pytest.mark.sql, pytest.mark.django_db]


@pytest.fixture
def tree() -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE SCHEMA old",
        "CREATE TABLE shop.users (id bigint PRIMARY KEY)",
        "CREATE TABLE shop.events (id bigint, at date, user_id bigint REFERENCES shop.users"
        " ON DELETE CASCADE, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
        "CREATE TABLE shop.y2024 PARTITION OF shop.events FOR VALUES FROM ('2024-01-01')"
        " TO ('2025-01-01') PARTITION BY HASH (id)",
        "CREATE TABLE old.y2024_0 PARTITION OF shop.y2024 FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        "CREATE TABLE old.y2024_1 PARTITION OF shop.y2024 FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        "CREATE TABLE shop.rest PARTITION OF shop.events DEFAULT",
        "CREATE TABLE shop.notes (id int, at date, CONSTRAINT of_event FOREIGN KEY (id, at)"
        " REFERENCES shop.events ON DELETE SET NULL)",
        "CREATE TABLE shop.marks (id bigint, at date, CONSTRAINT of_rest FOREIGN KEY (id, at)"
        " REFERENCES shop.rest)",
        "ALTER TABLE shop.rest ADD CONSTRAINT own FOREIGN KEY (user_id) REFERENCES shop.users",
    )


@pytest.mark.usefixtures("tree")
def test_a_tree_of_two_levels_is_told_from_every_node() -> None:
    root, middle, leaf, rest = (
        table(name) for name in ("shop.events", "shop.y2024", "old.y2024_1", "shop.rest")
    )
    leaves = (TableName("old", "y2024_0"), TableName("old", "y2024_1"))
    assert (root.kind, root.partition_key, root.partition_of, root.partition_bound) == (
        "partitioned",
        "RANGE (at)",
        None,
        "",
    )
    assert root.leaves == (*leaves, TableName("shop", "rest"))
    assert (middle.kind, middle.partition_key, middle.partition_of) == (
        "partitioned",
        "HASH (id)",
        root.name,
    )
    assert middle.partition_bound == "FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')"
    assert middle.leaves == leaves
    assert (leaf.kind, leaf.partition_key, leaf.partition_of, leaf.leaves) == (
        "table",
        "",
        middle.name,
        (),
    )
    assert leaf.partition_bound == "FOR VALUES WITH (modulus 2, remainder 1)"
    assert rest.partition_bound == "DEFAULT"
    assert leaf.keys[0].columns == ("id", "at")


@pytest.mark.usefixtures("tree")
def test_a_row_is_referenced_through_its_root_and_through_its_leaf() -> None:
    pointing = {
        str(found.name): [(key.name, str(key.references)) for key in found.referenced_by]
        for found in tables(schemas=["shop", "old"])
    }
    through_root = ("of_event", "shop.events")
    through_leaf = ("of_rest", "shop.rest")
    assert pointing == {
        "old.y2024_0": [through_root],
        "old.y2024_1": [through_root],
        "shop.events": [through_leaf, through_root],
        "shop.marks": [],
        "shop.notes": [],
        "shop.rest": [through_leaf, through_root],
        "shop.users": [("events_user_id_fkey", "shop.users"), ("own", "shop.users")],
        "shop.y2024": [through_root],
    }


@pytest.mark.usefixtures("tree")
def test_postgresqls_copies_of_a_foreign_key_are_left_out() -> None:
    assert [key.name for key in table("shop.events").foreign_keys] == ["events_user_id_fkey"]
    assert table("shop.y2024").foreign_keys == table("old.y2024_0").foreign_keys == ()
    assert [key.name for key in table("shop.rest").foreign_keys] == ["own"]


@pytest.mark.usefixtures("tree")
def test_copies_of_a_trigger_are_left_out_and_those_of_a_leaf_are_told() -> None:
    execute(
        "CREATE FUNCTION shop.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER whole AFTER DELETE ON shop.events FOR EACH ROW EXECUTE FUNCTION shop.f()",
        "CREATE TRIGGER part AFTER DELETE ON shop.rest FOR EACH ROW EXECUTE FUNCTION shop.f()",
    )
    assert [trigger.name for trigger in table("shop.events").triggers] == ["whole"]
    assert [trigger.name for trigger in table("shop.rest").triggers] == ["part"]
    assert table("old.y2024_0").triggers == ()


@pytest.mark.usefixtures("tree")
def test_the_size_of_a_tree_is_the_sum_over_its_leaves() -> None:
    execute(
        "INSERT INTO shop.events SELECT i, '2024-05-05' FROM generate_series(1, 3000) AS i",
        "INSERT INTO shop.events SELECT i, '2025-05-05' FROM generate_series(1, 500) AS i",
        "ANALYZE shop.y2024",
    )
    root, rest = table("shop.events"), table("shop.rest")
    leaves = [table(name) for name in root.leaves]
    assert rest.estimated_rows == -1
    assert root.estimated_rows == table("shop.y2024").estimated_rows == 3000
    assert root.pages == sum(leaf.pages for leaf in leaves) > rest.pages > 0
    assert root.estimated_bytes == sum(leaf.estimated_bytes for leaf in leaves)
    execute("ANALYZE shop.rest")
    assert table("shop.events").estimated_rows == 3500


@pytest.mark.usefixtures("tree")
def test_a_tree_that_was_never_analysed_is_unknown_and_an_empty_one_is_empty() -> None:
    assert table("shop.events").estimated_rows == 0
    execute("ANALYZE shop.y2024", "INSERT INTO shop.events VALUES (1, '2025-05-05')")
    assert table("shop.events").estimated_rows == -1


def test_a_partitioned_table_without_partitions_is_empty() -> None:
    execute("CREATE SCHEMA shop", "CREATE TABLE shop.t (a int) PARTITION BY LIST (a)")
    found = table("shop.t")
    assert (found.leaves, found.estimated_rows, found.estimated_bytes, found.pages) == ((), 0, 0, 0)


def test_tables_that_inherit_are_no_partitions() -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.up (a int)",
        "CREATE TABLE shop.down (b int) INHERITS (shop.up)",
    )
    up, down = table("shop.up"), table("shop.down")
    assert up.heirs == (down.name,)
    assert (up.leaves, down.partition_of, down.partition_bound) == ((), None, "")

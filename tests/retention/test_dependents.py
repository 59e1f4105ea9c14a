"""What a purge would take along is read from the foreign keys; what it must not is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from operations.catalogue.read import table as read_table
from retention.selectors.components import components_of
from retention.selectors.dependents import Graph, dependents_graph

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]


def graph(root: str, *dependents: str) -> Graph:
    return dependents_graph(
        table=read_table(f"app.{root}"),
        dependents=[["app", name] for name in dependents],
        using="default",
    )


def meanings(found: Graph) -> dict[str, str]:
    return {each.key.name: each.meaning for each in found.references}


def order(found: Graph) -> list[list[str]]:
    return [[found.tables[number].name.name for number in group] for group in found.components]


@pytest.fixture
def shop(governed: str, execute: Execute) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, last_line int, follows int)")
    execute("CREATE TABLE app.lines (id int PRIMARY KEY, ordered int)")
    execute("CREATE TABLE app.picks (id int PRIMARY KEY, line int)")
    execute("CREATE INDEX ON app.lines (ordered)")


def refer(execute: Execute, child: str, column: str, parent: str, rule: str = "") -> str:
    name = f"{child}_{column}"
    execute(
        f"ALTER TABLE app.{child} ADD CONSTRAINT {name}"
        f" FOREIGN KEY ({column}) REFERENCES app.{parent} {rule}"
    )
    return name


@pytest.mark.usefixtures("shop")
def test_children_come_first_and_what_is_not_named_keeps_its_row(execute: Execute) -> None:
    refer(execute, "lines", "ordered", "orders", "ON DELETE CASCADE")
    refer(execute, "picks", "line", "lines")
    refer(execute, "orders", "follows", "orders")
    found = graph("orders", "lines")
    assert found.refusals == ()
    assert order(found) == [["lines"], ["orders"]]
    assert meanings(found) == {
        "lines_ordered": "goes along",
        "picks_line": "keeps the row",
        "orders_follows": "keeps the row",
    }
    assert [key.name for key in found.unindexed] == ["orders_follows", "picks_line"]
    whole = graph("orders", "picks", "lines", "orders")
    assert order(whole) == [["picks"], ["lines"], ["orders"]]
    assert set(meanings(whole).values()) == {"goes along"}


@pytest.mark.usefixtures("shop")
def test_tables_in_a_cycle_are_together(execute: Execute) -> None:
    refer(execute, "lines", "ordered", "orders")
    refer(execute, "picks", "line", "lines")
    refer(execute, "orders", "last_line", "lines")
    found = graph("orders", "lines", "picks")
    assert found.refusals == ()
    assert order(found) == [["picks"], ["orders", "lines"]]


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("rule", ["CASCADE", "SET NULL", "SET DEFAULT"])
def test_what_would_be_destroyed_or_changed_without_a_name_is_refused(
    execute: Execute, rule: str
) -> None:
    refer(execute, "lines", "ordered", "orders")
    refer(execute, "picks", "line", "lines", f"ON DELETE {rule}")
    (refusal,) = graph("orders", "lines").refusals
    assert f"would {rule.lower()} into app.picks (picks_line)" in refusal
    assert graph("orders").refusals == (), "lines keep their orders, so no pick is touched"
    assert graph("orders", "lines", "picks").refusals == ()


@pytest.mark.usefixtures("shop")
def test_the_table_itself_is_named_like_any_other(execute: Execute) -> None:
    refer(execute, "orders", "follows", "orders", "ON DELETE CASCADE")
    (refusal,) = graph("orders").refusals
    assert "name the table itself" in refusal
    found = graph("orders", "orders")
    assert (found.refusals, found.named) == ((), frozenset({0}))


@pytest.mark.usefixtures("shop")
def test_names_that_mean_nothing_are_refused(execute: Execute) -> None:
    refer(execute, "picks", "line", "lines")
    first, second, third = graph("orders", "lines", "picks", "parcels").refusals
    assert "no table app.parcels" in first
    assert "no foreign key leads from it to app.orders" in second
    assert "names app.picks" in third


def test_rows_that_cannot_be_told_apart_or_seen_are_refused(execute: Execute) -> None:
    execute("CREATE TABLE app.orders (id int UNIQUE)")
    execute("CREATE TABLE app.lines (ordered int REFERENCES app.orders (id))")
    execute("CREATE TABLE app.special () INHERITS (app.lines)")
    heirs, keyless = graph("orders", "lines").refusals
    assert "has no primary key" in keyless
    assert "app.lines has rows in tables that inherit from it (app.special)" in heirs


def test_partitions_are_one_table(execute: Execute) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY)")
    execute("CREATE TABLE app.lines (ordered int) PARTITION BY LIST (ordered)")
    execute("CREATE TABLE app.lines_1 PARTITION OF app.lines FOR VALUES IN (1)")
    execute("CREATE TABLE app.lines_2 PARTITION OF app.lines DEFAULT")
    execute(
        "ALTER TABLE app.lines_1 ADD CONSTRAINT own FOREIGN KEY (ordered) REFERENCES app.orders"
    )
    found = graph("orders", "lines")
    assert (found.refusals, meanings(found)) == ((), {"own": "goes along"})
    (refusal,) = graph("orders", "lines_1").refusals
    assert "app.lines_1 is a partition of app.lines: name the whole table" in refusal


@pytest.mark.parametrize(
    ("bonds", "groups"),
    [
        ([], [(3,), (2,), (1,), (0,)]),
        ([(1, 0), (2, 0), (3, 2)], [(3,), (2,), (1,), (0,)]),
        ([(1, 2), (2, 3), (3, 0)], [(1,), (2,), (3,), (0,)]),
        ([(1, 0), (0, 1), (2, 1), (3, 2)], [(3,), (2,), (0, 1)]),
        ([(1, 2), (2, 3), (3, 1), (1, 0)], [(1, 2, 3), (0,)]),
        ([(1, 1), (1, 0)], [(3,), (2,), (1,), (0,)]),
    ],
)
def test_components(bonds: list[tuple[int, int]], groups: list[tuple[int, ...]]) -> None:
    assert list(components_of(4, bonds)) == groups

"""Random tables, foreign keys, rows and holds against a model of what may go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from psycopg import sql

from operations import vetoes
from operations.catalogue.types import Table, TableName
from operations.vetoes import Protection
from retention.services import purge
from retention.services.purge_start import purge_run
from tests.effort import examples

from .purging import files, known_files, ran
from .records import archives, record_policy, state

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed", "sizes_kept")]
Execute = Callable[..., list[tuple[Any, ...]]]
RULES = ["NO ACTION", "RESTRICT", "CASCADE", "SET NULL"]
Row = tuple[int, int]
"""Of a table, by its number, the row with this id."""


@dataclass
class World:
    """Tables t0, t1 ...: t0 is the policy's. A key is child, parent and rule."""

    tables: int
    keys: list[tuple[int, int, str]]
    named: set[int]
    rows: list[set[int]]
    due: set[int]
    refer: dict[tuple[int, int], int]
    """By the key's number and the child's id, the id of the row that it refers to."""
    held: set[Row]
    size: int

    def references(self) -> Iterator[tuple[int, Row, Row]]:
        """Key, the row that refers, the row that is referred to."""
        for (key, child), parent in self.refer.items():
            yield key, (self.keys[key][0], child), (self.keys[key][1], parent)

    # What may go.

    def refused(self) -> bool:
        reached = {0}
        while more := {c for c, p, _ in self.keys if p in reached and c in self.named} - reached:
            reached |= more
        nowhere = self.named - {0} - reached
        loose = 0 in self.named and not any(c == 0 and p in reached for c, p, _ in self.keys)
        graph = {0} | self.named
        harmful = any(
            p in graph and c not in self.named and rule in ("CASCADE", "SET NULL")
            for c, p, rule in self.keys
        )
        return bool(nowhere) or loose or harmful

    def reach(self, root: int) -> set[Row]:
        found = {(0, root)}
        while True:
            more = {
                child
                for _, child, parent in self.references()
                if parent in found and child[0] in self.named
            } - found
            if not more:
                return found
            found |= more

    def goes(self) -> set[Row]:
        """All that one purge takes which looks at everything at once."""
        roots = set(self.due)
        while True:
            stay = {root for root in roots if self._kept(root, roots)}
            if not stay:
                return set().union(*(self.reach(root) for root in roots))
            roots -= stay

    def _kept(self, root: int, roots: set[int]) -> bool:
        inside = self.reach(root)
        if inside & self.held:
            return True
        for _, child, parent in self.references():
            if parent not in inside or child[0] in self.named:
                continue
            # A row of the policy's own table may refer to what goes along, if it goes itself.
            if child[0] != 0 or parent[0] == 0 or child[1] not in roots:
                return True
        return False


@st.composite
def worlds(draw: st.DrawFn) -> World:
    tables = draw(st.integers(2, 4))
    table = st.integers(0, tables - 1)
    # Each table hangs on one before it; some more keys, also to itself, back, and in circles.
    keys = [
        (n, draw(st.integers(0, n - 1)), draw(st.sampled_from(RULES))) for n in range(1, tables)
    ]
    keys += draw(st.lists(st.tuples(table, table, st.sampled_from(RULES)), max_size=3))
    rows = [draw(st.sets(st.integers(1, 9), min_size=2, max_size=8)) for _ in range(tables)]
    refer = {
        (number, row): draw(st.sampled_from(sorted(rows[parent])))
        for number, (child, parent, _) in enumerate(keys)
        for row in sorted(rows[child])
        if draw(st.integers(0, 3)) > 0
    }
    every = [(number, row) for number in range(tables) for row in sorted(rows[number])]
    return World(
        tables=tables,
        keys=keys,
        named=draw(st.sets(table, min_size=1)) if draw(st.booleans()) else set(range(1, tables)),
        rows=rows,
        due=draw(st.sets(st.sampled_from(sorted(rows[0])))),
        refer=refer,
        held=set(draw(st.lists(st.sampled_from(every), max_size=2))),
        size=draw(st.sampled_from([3, 2_000])),
    )


@dataclass
class Held:
    """A source of vetoes."""

    rows: set[Row] = field(default_factory=set)

    def protections(self, table: Table, *, using: str) -> Iterator[Protection]:
        ids = [row for number, row in self.rows if table.name.name == f"t{number}"]
        if ids:
            yield Protection("case", sql.SQL("t.id = ANY ({}::int[])").format(sql.Literal(ids)))

    def holders(self, name: TableName, *, using: str) -> Iterator[str]:
        return iter(())


@pytest.fixture
def held() -> Iterator[Held]:
    made = Held()
    vetoes.register("model", made)
    yield made
    vetoes.unregister("model")


@pytest.fixture
def sizes_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an example sets is put back."""
    monkeypatch.setattr(purge, "_RECORDS", purge._RECORDS)


def make(world: World, execute: Execute) -> None:
    execute("DROP SCHEMA IF EXISTS app CASCADE")
    execute("CREATE SCHEMA app")
    for number in range(world.tables):
        execute(f"CREATE TABLE app.t{number} (id int PRIMARY KEY, created_at timestamptz)")
        values = ", ".join(
            f"({row}, {'$$2015-01-01$$' if number or row in world.due else 'now()'})"
            for row in sorted(world.rows[number])
        )
        execute(f"INSERT INTO app.t{number} VALUES {values}")
    for number, (child, parent, rule) in enumerate(world.keys):
        execute(
            f"ALTER TABLE app.t{child} ADD COLUMN f{number} int"
            f" REFERENCES app.t{parent} ON DELETE {rule}"
        )
    for (number, row), parent in world.refer.items():
        child = world.keys[number][0]
        execute(f"UPDATE app.t{child} SET f{number} = {parent} WHERE id = {row}")


def left(world: World, execute: Execute) -> set[Row]:
    return {
        (number, row[0])
        for number in range(world.tables)
        for row in execute(f"SELECT id FROM app.t{number}")
    }


@settings(
    max_examples=examples(12),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(world=worlds())
def test_what_goes_is_what_may_go_and_nothing_is_lost(
    execute: Execute, person: User, held: Held, world: World
) -> None:
    make(world, execute)
    held.rows = world.held
    purge._RECORDS = (world.size, 1, world.size)
    names = [f"t{number}" for number in range(world.tables)]
    before, there = state(*names), left(world, execute)
    policy = record_policy(
        "t0", [names[number] for number in sorted(world.named)], name=f"world {id(world)}"
    )
    policy.name = f"world {policy.pk}"
    policy.save()
    try:
        answer = purge_run(policy=policy, requester=person)
        event("refused" if answer.run is None else "ran")
        assert (answer.run is None) == world.refused(), answer.refusal
        gone = there - left(world, execute)
        may_go = set() if world.refused() else world.goes()
        if answer.run is not None:
            run = ran(answer)
            assert run.done == len(gone)
            kept, archived = state(*names), archives(*names, runs=[run.pk])
            assert {name: kept[name] + archived[name] for name in names} == before
            assert files() == known_files(complete=False) | {
                file for file in files() if file.endswith("manifest.json")
            }
        # Rows of the policy's own table that keep each other may go when all are looked at at once.
        among_itself = 0 not in world.named and any(child == 0 for child, _, _ in world.keys)
        assert gone <= may_go
        assert gone == may_go or (world.size == 3 and among_itself)
        assert not gone & world.held
    finally:
        policy.enabled = False
        policy.save()

"""Whatever is deleted, restored, held and destroyed in whatever order, active rows are a model's.

A state machine over random tables with every ON DELETE rule, references to themselves, in circles,
keys of two columns and partitions. It is stepped by hand: Hypothesis' own stops after a few steps
as often as not, and what goes wrong here takes several deletions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from operations.exceptions import Refused
from operations.services.run_execute import run_execute
from operations.services.runs import run_approve
from retention.exceptions import DeletionRefused
from retention.models import LegalHold
from retention.selectors.deletions import deletion_get, deletion_rows_now
from retention.services.deletion_purge import deletion_purge_request
from retention.services.record_delete import record_delete
from retention.services.record_restore import (
    Choice,
    ChosenRow,
    RestoreConflicts,
    record_restore,
)
from tests.effort import examples

from .holding import officer, place, release
from .softdelete_model import Row, World, worlds
from .softdeleting import app, enable

pytestmark = pytest.mark.sql
Execute = Callable[..., list[tuple[Any, ...]]]
STEPS = 16


def key_of(world: World, row: Row) -> str:
    return f"{row[1]},{row[1] % 3}" if world.kinds[row[0]] == "composite" else str(row[1])


def make(world: World, execute: Execute) -> None:
    execute("DROP SCHEMA IF EXISTS app CASCADE; CREATE SCHEMA app")
    for number, kind in enumerate(world.kinds):
        key = "PRIMARY KEY (id, part)" if kind == "composite" else "PRIMARY KEY (id)"
        ranges = " PARTITION BY RANGE (id)" if kind == "partitioned" else ""
        execute(f"CREATE TABLE app.t{number} (id int, part int, code int NOT NULL, {key}){ranges}")
        if ranges:
            execute(
                f"CREATE TABLE app.t{number}_low PARTITION OF app.t{number} FOR VALUES FROM (0) TO"
                f" (3); CREATE TABLE app.t{number}_high PARTITION OF app.t{number} DEFAULT"
            )
        ids = sorted(row for table, row in world.codes if table == number)
        for each in ids:
            execute(f"INSERT INTO app.t{number} VALUES ({each}, {each % 3}, {each})")
    for number, key in enumerate(world.keys):
        wide = world.kinds[key.parent] == "composite"
        columns = f"f{number}, g{number}" if wide else f"f{number}"
        action = key.rule.replace("(one)", f"(f{number})")
        execute(
            f"ALTER TABLE app.t{key.child} ADD COLUMN f{number} int DEFAULT 0,"
            f" ADD COLUMN g{number} int DEFAULT 0;"
            f"ALTER TABLE app.t{key.child} ADD CONSTRAINT k{number} FOREIGN KEY ({columns})"
            f" REFERENCES app.t{key.parent} ON DELETE {action}"
        )
    for (number, child), target in world.refer.items():
        point(world, execute, number, child, target)
    for number in range(len(world.kinds)):
        along = [
            f"t{key.child}"
            for key in world.keys
            if key.parent == number and key.along and key.rule != "CASCADE"
        ]
        enable(f"t{number}", along=along)
        if world.kinds[number] != "partitioned":
            execute(
                f"CREATE UNIQUE INDEX t{number}_code ON app.t{number} (code)"
                " WHERE deleted_at IS NULL"
            )


def point(world: World, execute: Execute, number: int, child: int, target: int | None) -> None:
    key = world.keys[number]
    values = "NULL, NULL" if target is None else f"{target}, {target % 3}"
    execute(
        f"UPDATE app.t{key.child} SET (f{number}, g{number}) = ROW({values}) WHERE id = {child}"
    )


class Machine:
    """The tables, and beside them the model."""

    def __init__(self, world: World, execute: Execute, person: User) -> None:
        self.world, self.execute, self.person = world, execute, person
        self.cases = 0
        LegalHold.objects.filter(released_at__isnull=True).update(released_at=timezone.now())
        execute("TRUNCATE custody.retention_softdeletetable, custody.retention_deletion CASCADE")
        make(world, execute)

    def step(self, data: st.DataObject) -> None:
        steps = [self.delete, self.delete, self.delete, self.arrive, self.point_elsewhere]
        steps.append(self.hold)
        if self.world.deleted:
            steps += [self.restore, self.restore, self.restore_a_part, self.purge]
        data.draw(st.sampled_from(steps))(data)
        self.active_rows_are_the_models()
        self.counts_are_true()

    def delete(self, data: st.DataObject) -> None:
        rows = sorted(row for row in self.world.codes if row[1])
        # What deleted rows refer to is the more interesting.
        above = sorted(self.world.above_deleted())
        row = data.draw(st.sampled_from(above if above and data.draw(st.booleans()) else rows))
        arguments: dict[str, Any] = {
            "table": app(f"t{row[0]}"),
            "record_id": key_of(self.world, row),
            "actor": self.person,
        }
        if row in self.world.deleted or self.world.refuses(row):
            with pytest.raises(DeletionRefused):
                record_delete(**arguments)
            return
        deletion = record_delete(**arguments).deletion
        assert deletion is not None
        self.world.delete(row, deletion.pk)

    def restore(self, data: st.DataObject) -> None:
        parents, skipping = data.draw(st.booleans()), data.draw(st.booleans())
        deletion = data.draw(st.sampled_from(self.world.deletions()))
        own = self.world.of(deletion)
        rows = self.world.with_parents(own, own, parents=parents) if parents else own
        self._restore(deletion, None, rows, parents, skipping)

    def restore_a_part(self, data: st.DataObject) -> None:
        below, parents, skipping = (data.draw(st.booleans()) for _ in range(3))
        deletion = data.draw(st.sampled_from(self.world.deletions()))
        own = sorted(self.world.of(deletion))
        some = data.draw(st.sets(st.sampled_from(own), min_size=1, max_size=2))
        chosen = [
            ChosenRow(f"app.t{row[0]}", key_of(self.world, row), below) for row in sorted(some)
        ]
        rows = self.world.chosen(deletion, some, below=below, parents=parents)
        self._restore(deletion, chosen, rows, parents, skipping)

    def _restore(
        self,
        deletion: int,
        chosen: list[ChosenRow] | None,
        rows: set[Row],
        parents: bool,
        skipping: bool,
    ) -> None:
        taken, missing = self.world.conflicts(rows)
        choices = []
        if skipping and taken:
            rows = rows - self.world.below(taken, rows, hard=True)
            choices = [
                Choice(f"app.t{row[0]}", key_of(self.world, row), "skip") for row in sorted(taken)
            ]
            taken, missing = self.world.conflicts(rows)
        arguments: dict[str, Any] = {
            "deletion_id": deletion,
            "rows": chosen,
            "choices": choices,
            "parents": parents,
            "actor": self.person,
        }
        if not rows:
            with pytest.raises(DeletionRefused, match="nothing of deletion"):
                record_restore(**arguments)
            return
        if taken or missing or self.world.doubled(rows):
            with pytest.raises(RestoreConflicts) as error:
                record_restore(**arguments)
            self._named(error.value, taken, missing)
            return
        before = dict(self.world.deleted)
        found = record_restore(**arguments)
        self.world.restore(rows)
        # What stays may have another deletion.
        for row in set(before) - rows:
            self.world.deleted[row] = self._deletion_of(row)
        assert found.rows == len(rows)

    def _named(self, error: RestoreConflicts, taken: set[Row], missing: set[Row]) -> None:
        if any(each.kind == "error" for each in error.found.conflicts):
            return
        told = {(c.table, c.records[0]) for c in error.found.conflicts if c.kind == "unique"}
        assert told == {(f"app.t{row[0]}", self._record_id(row)) for row in taken}
        told = {
            (c.parent_table, c.parent_record) for c in error.found.conflicts if c.kind == "parent"
        }
        assert told == {(f"app.t{row[0]}", self._record_id(row)) for row in missing}

    def _record_id(self, row: Row) -> str:
        if self.world.kinds[row[0]] == "composite":
            return f'["{row[1]}","{row[1] % 3}"]'
        return str(row[1])

    def _deletion_of(self, row: Row) -> int:
        [(deletion,)] = self.execute(f"SELECT deletion_id FROM app.t{row[0]} WHERE id = {row[1]}")
        assert deletion is not None, f"{row} is active"
        return int(deletion)

    def arrive(self, data: st.DataObject) -> None:
        """A new active row, perhaps with the code of a deleted one."""
        number = data.draw(st.integers(0, len(self.world.kinds) - 1))
        row = (number, max(r for n, r in self.world.codes if n == number) + 1)
        used = {self.world.codes[r] for r in self.world.active() if r[0] == number}
        free = sorted({self.world.codes[r] for r in self.world.codes if r[0] == number} - used)
        partitioned = self.world.kinds[number] == "partitioned"
        code = data.draw(st.sampled_from([row[1], *(() if partitioned else free)]))
        self.world.codes[row] = code
        columns, values = ["id", "part", "code"], [row[1], row[1] % 3, code]
        for index, key in enumerate(self.world.keys):
            if key.child != number:
                continue
            there = [r for n, r in sorted(self.world.active()) if n == key.parent and (n, r) != row]
            target = data.draw(st.sampled_from([None, *there]))
            self.world.refer[index, row[1]] = target
            columns += [f"f{index}", f"g{index}"]
            values += [target, None if target is None else target % 3]  # type: ignore[list-item]
        connection.cursor().execute(
            f"INSERT INTO app.t{number} ({', '.join(columns)})"
            f" VALUES ({', '.join(['%s'] * len(values))})",
            values,
        )

    def point_elsewhere(self, data: st.DataObject) -> None:
        references = sorted(
            (number, child)
            for number, child in self.world.refer
            if child and (self.world.keys[number].child, child) in self.world.active()
        )
        if not references:
            return
        number, child = data.draw(st.sampled_from(references))
        there = [r for n, r in sorted(self.world.active()) if n == self.world.keys[number].parent]
        target = data.draw(st.sampled_from([None, *there]))
        self.world.refer[number, child] = target
        point(self.world, self.execute, number, child, target)

    def hold(self, data: st.DataObject) -> None:
        """One row is held, or is not any more."""
        rows = sorted(row for row in self.world.codes if row[1])
        row = data.draw(st.sampled_from(rows))
        if row in self.world.held:
            release(self.world.held.pop(row))
        else:
            self.cases += 1
            self.world.held[row] = f"case-{self.cases}"
            key = key_of(self.world, row)
            place(self.world.held[row], f"app.t{row[0]}", rows=[key])

    def purge(self, data: st.DataObject) -> None:
        """The run decides what goes; the model knows what may not, and when all must."""
        deletion = data.draw(st.sampled_from(self.world.deletions()))
        own = self.world.of(deletion)
        keeping = self.world.keeping(own)
        try:
            run = deletion_purge_request(deletion_id=deletion, actor=self.person)
        except Refused:
            assert keeping
            return
        run_approve(run_id=run.pk, approver=officer("grace"))
        assert run_execute(run_id=run.pk).state == "succeeded"
        there = {
            (number, row)
            for number in range(len(self.world.kinds))
            for (row,) in self.execute(f"SELECT id FROM app.t{number}")
        }
        gone = set(self.world.codes) - there
        assert gone <= own - set(self.world.held)
        if not keeping:
            assert gone == own
            assert deletion_get(deletion).state == "purged"
        self.world.purge(gone)

    def active_rows_are_the_models(self) -> None:
        for number in range(len(self.world.kinds)):
            keys = [n for n, key in enumerate(self.world.keys) if key.child == number]
            listed = "".join(
                f", CASE WHEN g{n} IS NULL THEN NULL ELSE f{n} END"
                if self.world.kinds[self.world.keys[n].parent] == "composite"
                else f", f{n}"
                for n in keys
            )
            found = set(self.execute(f"SELECT id, code, deletion_id{listed} FROM app.t{number}"))
            assert found == {
                (
                    row[1],
                    code,
                    self.world.deleted.get(row),
                    *(self.world.refer[n, row[1]] for n in keys),
                )
                for row, code in self.world.codes.items()
                if row[0] == number
            }

    def counts_are_true(self) -> None:
        for deletion in self.world.deletions():
            found = deletion_get(deletion)
            assert found.state == "deleted"
            assert deletion_rows_now(found) == len(self.world.of(deletion))


@settings(
    max_examples=examples(10, least=4),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # What is found is small enough to read, and shrinking takes minutes.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(world=worlds(), data=st.data())
def test_active_rows_are_those_of_the_model(
    governed: str, execute: Execute, person: User, world: World, data: st.DataObject
) -> None:
    machine = Machine(world, execute, person)
    for _ in range(STEPS):
        machine.step(data)

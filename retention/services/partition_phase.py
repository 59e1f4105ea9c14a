"""Partitions that have expired as a whole: archived, detached and dropped.

Invariants:
- A row is in its table, in a detached table that only this run knows, or in exactly one part that
  the database knows. The parts of a partition become known in the transaction that drops it.
- What is dropped is what was archived. Detaching waits for whoever still writes, a guard refuses
  every later write, and under the lock in which it is dropped the guard is the same one and the
  rows are counted.
- A veto wins: it is asked before a partition is detached, and again in the transaction that drops.
- Whatever stands in the way, the partition goes back into its table and is left to the batches.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

from django.db import DatabaseError, InterfaceError, OperationalError, connections
from psycopg import errors

from operations.batches.sizing import BatchSize
from operations.catalogue.types import TableName
from operations.exceptions import CustodyError
from operations.models import Run
from operations.runs.kinds import Beat, Throttle
from operations.runs.states import RunState
from operations.selectors.runs import run_get
from retention.selectors.partition_standing import (
    Standing,
    detached_leaves,
    nodes,
    standing,
    users_of,
)
from retention.selectors.partition_units import OLDER_STAYS, Unit, in_order, partition_units
from retention.services import partition_ddl as ddl
from retention.services.bin_counts import marks_counted, marks_purged
from retention.services.partition_back import AttachRefused, attach_again, discard, said
from retention.services.partition_copy import Content, PartitionCopy, content, late
from retention.services.partition_held import partition_held
from retention.services.partition_history import PartitionHistory
from retention.services.partition_plan import TOO_LARGE, held_text
from retention.services.partition_state import (
    KEY,
    Dropped,
    Left,
    PartitionState,
    planned_units,
)
from retention.services.purge_task import PhaseStep, PurgePhase, PurgeTask
from retention.services.purge_windows import TOO_LONG

DETACH_SECONDS = 60.0
"""For which detaching is tried again before the partition is left to the batches."""
PENDING_SECONDS = 600.0
"""For which a detaching that cannot be taken back any more is waited for."""
LOOK_SECONDS = 0.3
"""Between two looks at who uses a table: who is in both has a long transaction."""
FRESH_SECONDS = 5.0
"""For which a look at all partitions, and at what stands in their way, serves."""
COUNTED_PAGES = 16_384
"""A partition of so many pages is counted in the step that drops it, a larger one before."""
PAGES = (4_096, 1, 131_072)
"""Of a slice: first, least, most."""


@dataclass(frozen=True)
class _Move:
    """What one move of a step works on."""

    run: Run
    cursor: dict[str, Any]
    began: float
    state: PartitionState
    unit: Unit
    here: Standing


class PartitionsPhase(PurgePhase):
    """One partition after the other."""

    def __init__(self, task: PurgeTask) -> None:
        super().__init__(task)
        self.units = planned_units(task.parameters)
        self.copy = PartitionCopy(task, BatchSize(*PAGES, target=0.8))
        self.history = PartitionHistory(task)
        self._since = time.time()
        self._refusal = ""
        self._waits_for = ""
        self._content: tuple[list[list[Any]], Content] | None = None
        self._now: dict[int, Unit] = {}
        self._looked = -FRESH_SECONDS
        self._discard: list[str] = []
        self._notes: list[str] = []
        self._doing: Literal["", "asking", "counting"] = ""
        self._too_large = False
        self._count_before = False

    def leaves(self) -> list[TableName]:
        return []  # Nobody else works on what is dropped.

    # Before a step, outside a transaction.

    def prepare(self, cursor: dict[str, Any], beat: Beat) -> None:
        run = run_get(self.task.run.pk)
        state = PartitionState.of(run.cursor)
        ours = run.fence == self.task.run.fence and run.current is RunState.RUNNING
        if not ours or state.at >= len(self.units):
            return
        unit = self.units[state.at]
        here = standing(unit, using=self.task.using)
        if state.stage == "detaching" and here.place in ("attached", "leaving"):
            self._detach(unit, here)
        elif state.stage == "detached" and here.place == "detached":
            self._count(unit, here, state)

    def _detach(self, unit: Unit, here: Standing) -> None:
        self._waits_for = self._refusal = ""
        if here.place == "attached" and (busy := self._long_users(unit)):
            self._waits_for = busy
            return
        try:
            ddl.detach(here, using=self.task.using)
        except InterfaceError:
            raise
        except DatabaseError as error:
            if not connections[self.task.using].is_usable():
                raise
            if isinstance(error, OperationalError):
                # The lock timeout, mostly. What has begun is gone on with.
                self._waits_for = "transactions that use it"
            else:
                self._refusal = said(error)

    def _long_users(self, unit: Unit) -> str:
        """Whose transaction the detaching would have to wait for; asked twice if anybody's.

        Once it has begun it cannot be taken back before all of them have ended.
        """
        oids, using = (unit.oid, unit.parent_oid), self.task.using
        first = {user.transaction for user in users_of(oids, using=using)}
        if not first:
            return ""
        time.sleep(LOOK_SECONDS)
        long = [user for user in users_of(oids, using=using) if user.transaction in first]
        return str(long[0]) if long else ""

    def _count(self, unit: Unit, here: Standing, state: PartitionState) -> None:
        """A large one, once all of it is copied."""
        leaves = detached_leaves(unit, using=self.task.using)
        large = self._count_before or sum(leaf.pages for leaf in leaves) > COUNTED_PAGES
        if not large or self._content or not self.copy.ended(state, leaves):
            return
        with ddl.unlimited(using=self.task.using):
            found = content(self.task.due, here.table, using=self.task.using)
        self._content = (nodes(leaves), found)

    def throttle(self) -> Throttle | None:
        if not self._waits_for:
            return None
        return Throttle(0.5, f"a partition cannot be detached yet because of {self._waits_for}")

    # The step.

    def step(self, run: Run, cursor: dict[str, Any], began: float) -> PhaseStep:
        state = PartitionState.of(cursor)
        self._discard, self._notes, done = [], [], 0
        while state.at < len(self.units):
            before = (state.at, state.stage, state.leaf, state.after)
            unit = self.units[state.at]
            here = standing(unit, using=self.task.using)
            done += self._move(_Move(run, cursor, began, state, unit, here))
            moved = before != (state.at, state.stage, state.leaf, state.after)
            if not moved or late(began):
                break
        cursor = {**cursor, KEY: state.to_json()}
        return PhaseStep(cursor, done, state.at >= len(self.units), tuple(self._notes))

    def _move(self, at: _Move) -> int:
        """A little further; returns how many rows are gone by it."""
        if at.state.stage == "forgetting":
            self._forget(at)
        elif at.here.place == "gone":
            self._forget_parts(at)
            self._leave(at, "it is gone, or belongs to another table now")
        elif at.state.stage == "waiting":
            self._begin(at)
        elif at.state.stage == "carrying" and at.here.place == "attached":
            self._carry(at)
        elif at.state.stage == "detached" and at.here.place != "detached":
            leaves = detached_leaves(at.unit, using=self.task.using)
            ddl.unguard([leaf.name for leaf in leaves], using=self.task.using)
            self._forget_parts(at)
            self._leave(at, "somebody attached it again")
        elif at.here.place != "detached":
            self._wait(at)
        else:
            return self._archive_and_drop(at)
        return 0

    def _begin(self, at: _Move) -> None:
        found = self._units_now().get(at.unit.oid)
        if found is None or (found.begin, found.end) != (at.unit.begin, at.unit.end):
            self._leave(at, "it is not the partition that was planned for")
        elif why := found.obstacle or self._held(at):
            self._leave(at, why)
        elif self.history.carries(at.unit):
            at.state.stage = "carrying"
        else:
            self._to_detach(at)

    def _carry(self, at: _Move) -> None:
        leaves = [leaf.name for leaf in detached_leaves(at.unit, using=self.task.using)]
        if self.history.carry(at.unit, at.state, leaves, began=at.began):
            at.state.copy_again()
            self._to_detach(at)

    def _to_detach(self, at: _Move) -> None:
        self._refusal = self._waits_for = ""
        at.state.stage, at.state.since = "detaching", time.time()
        at.state.checks = list(at.here.checks)

    def _units_now(self) -> dict[int, Unit]:
        """All of them at a time: what stands in the way since then, PostgreSQL refuses itself."""
        if time.monotonic() - self._looked > FRESH_SECONDS:
            now = partition_units(self.task.due, using=self.task.using)
            now = in_order(now, self.task.table.name)
            self._now, self._looked = {each.oid: each for each in now}, time.monotonic()
        return self._now

    def _held(self, at: _Move) -> str:
        if self._too_large:
            return TOO_LARGE
        self._doing = "asking"
        by = partition_held(at.unit, at.here, self.task.table, using=self.task.using)
        self._doing = ""
        return held_text(by) if by else self.history.obstacle()

    def _wait(self, at: _Move) -> None:
        waited = time.time() - max(at.state.since, self._since)
        if at.here.place == "leaving":
            if waited > PENDING_SECONDS:
                raise CustodyError(
                    f"{at.here.table} is being detached from {at.here.parent} and waits for "
                    f"{self._waits_for}. Its rows are safe, and not seen in {at.here.parent} "
                    "meanwhile. End the oldest transactions, then resume the run."
                )
        elif self._refusal:
            self._leave(at, f"PostgreSQL does not detach it: {self._refusal}")
        elif waited > DETACH_SECONDS:
            self._leave(at, f"it could not be detached in time because of {self._waits_for}")

    def _archive_and_drop(self, at: _Move) -> int:
        state, using = at.state, self.task.using
        leaves = detached_leaves(at.unit, using=using)
        if state.stage == "detaching":
            ddl.guard([leaf.name for leaf in leaves], using=using)
            leaves = detached_leaves(at.unit, using=using)
            state.stage, state.nodes = "detached", nodes(leaves)
        if state.nodes != nodes(leaves):
            self._back(at, "somebody changed it while it was detached")
            return 0
        if self.copy.lost_files(state):
            # Somebody was stopped in the middle of cancelling the run.
            self._forget_parts(at)
            state.copy_again()
        copied = self.copy.go_on(at.run, state, leaves, at.cursor, began=at.began)
        if not self.copy.ended(state, leaves) or (copied and late(at.began)):
            return 0
        found = self._counted(at, sum(leaf.pages for leaf in leaves))
        return self._drop(at, found) if found is not None else 0

    def _counted(self, at: _Move, pages: int) -> Content | None:
        """None: it is counted before the next step."""
        if self._content is not None and self._content[0] == at.state.nodes:
            return self._content[1]
        self._content = None
        if pages > COUNTED_PAGES or self._count_before:
            return None
        self._doing = "counting"
        found = content(self.task.due, at.here.table, using=self.task.using)
        self._doing = ""
        return found

    def _drop(self, at: _Move, found: Content) -> int:
        """In this order: what takes long, then the lock, then what needs it, then the commit."""
        state, using = at.state, self.task.using
        if why := self._held(at):
            self._back(at, why)
            return 0
        ddl.lock(at.here, using=using)
        leaves = detached_leaves(at.unit, using=using)
        archived = self.task.root_archive is None or state.rows == found.rows
        same = state.nodes == nodes(leaves) and at.here == standing(at.unit, using=using)
        if not archived or not same or found.rows != found.due:
            self._back(at, "it is not what was counted and archived")
            return 0
        dropped = Dropped(str(at.here.table), found.rows, sum(leaf.bytes for leaf in leaves))
        marked = 0 in self.task.marked
        binned = marks_counted(at.here.table, using=using) if marked else {}
        try:
            if tracked := self.history.audited():
                ddl.drop_try(at.here, using=using)
                state.forgetting = tracked.pk
            else:
                ddl.drop(at.here, using=using)
                self.history.retired(at.unit, found.rows)
        except DatabaseError as error:
            if not isinstance(error.__cause__, errors.DependentObjectsStillExist):
                raise
            self._back(at, said(error))
            return 0
        marks_purged(binned, table_oid=self.task.table.oid, using=using)
        self.copy.know(state)
        state.dropped.append(dropped)
        self._content = None
        if state.forgetting is not None:
            state.stage = "forgetting"
            state.copy_again()
        else:
            self._dropped(at)
        return found.rows

    def _dropped(self, at: _Move) -> None:
        what = at.state.dropped[-1]
        self._notes.append(f"Dropped {what.table} with {what.rows:,} rows.")
        at.state.next_unit()

    def _forget(self, at: _Move) -> None:
        """Its rows are gone for everybody: their versions follow, then what is left of it."""
        state, using = at.state, self.task.using
        if at.here.place != "detached":
            self._notes.append(f"{at.here.table} is gone, or somebody attached it again.")
            state.next_unit()
            return
        leaves = [leaf.name for leaf in detached_leaves(at.unit, using=using)]
        if self.history.forget(state, leaves, began=at.began):
            ddl.drop(at.here, using=using)
            self._dropped(at)

    def _back(self, at: _Move, why: str) -> None:
        self._forget_parts(at)
        try:
            attach_again(at.unit, at.here, checks=at.state.checks, using=self.task.using)
        except AttachRefused as error:
            raise CustodyError(
                f"{at.here.table} was detached and is to go back into {at.here.parent}, "
                f"because {why}. {error} Then resume the run."
            ) from error
        self._leave(at, why)

    def _forget_parts(self, at: _Move) -> None:
        """Their rows are live; once that is committed the files go."""
        self._discard += [part["file"] for part in at.state.parts]

    def _leave(self, at: _Move, why: str) -> None:
        table = str(at.unit.table)
        instead = "stays" if self.history.of else "is purged by batches"
        self._notes.append(f"{table} is not dropped whole: {why}. It {instead}.")
        at.state.left.append(Left(table, why))
        self._refusal, self._content, self._too_large = "", None, False
        at.state.next_unit()
        if self.history.of:
            later = self.units[at.state.at :]
            at.state.left += [Left(str(unit.table), OLDER_STAYS) for unit in later]
            at.state.at = len(self.units)

    # Around it.

    def committed(self) -> None:
        self.copy.committed()
        self.history.committed()
        discard(self._discard)
        self._discard = []

    def rolled_back(self, error: BaseException) -> None:
        too_long = isinstance(error.__cause__, TOO_LONG)
        if too_long and self._doing == "asking":
            self._too_large = True
        elif too_long and self._doing == "counting":
            self._count_before = True
        else:
            self.copy.rolled_back(error)
            self.history.rolled_back(error)
        self._doing = ""
        self._discard = []

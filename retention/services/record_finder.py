"""Which records go next: as many as fit into one step, or a slice of one that does not fit.

Outside of any transaction, and holding no row lock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from operations.batches.sizing import BatchSize
from operations.batches.walk import Walk, Window, next_window, window_predicate
from operations.catalogue.types import TableName
from operations.runs.kinds import Beat
from retention.selectors.dependents import Graph
from retention.selectors.due import expired
from retention.services.purge_delete import is_part
from retention.services.purge_task import PurgeTask
from retention.services.record_fill import add_roots, close
from retention.services.record_remove import make_room
from retention.services.record_settle import settle
from retention.services.record_slices import Slices
from retention.services.record_stage import Stage, Target

PAGES = 256
KEYS = 10_000
"""How much of the policy's table is looked through at a time for rows that are due."""
FIRST_ROOTS = 500
SHARE = 0.8
"""Of a step's size that the next batch is expected to have: records differ."""


@dataclass(frozen=True)
class Batch:
    """What the next step is to delete."""

    targets: tuple[Target, ...]
    roots: int
    last: str
    """The place of its last root: the next batch begins behind it."""
    slices: Slices | None = None
    """Of the one record that it is a part of."""

    @property
    def rows(self) -> int:
        return sum(each.rows for each in self.targets)


class Finder(ABC):
    """Proposes one batch after the other. One worker's, and of one session at a time."""

    def __init__(self, task: PurgeTask, size: BatchSize) -> None:
        self.task, self.size = task, size
        self.batch: Batch | None = None
        self.ended = False
        """Of this pass: there is no further batch."""
        self.left_out = False
        """A record could not go, and is for a later pass."""
        self.position: tuple[list[str], list[str] | None] | None = None
        """The leaf and the end of the last window that is done with."""
        self._stage: Stage | None = None
        self._whole: Stage | None = None
        self._slices: Slices | None = None

    @property
    def stage(self) -> Stage:
        """What the batch is in."""
        assert self._stage is not None
        return self._stage

    @property
    def graph(self) -> Graph:
        return self.task.graph

    @abstractmethod
    def find(self, cursor: dict[str, Any], beat: Beat) -> None:
        """Until there is a batch, or the pass has ended."""

    @abstractmethod
    def went(self) -> None:
        """The batch is deleted, but for what was kept."""

    @abstractmethod
    def fewer(self) -> None:
        """Something in it cannot go."""

    @abstractmethod
    def anew(self) -> None:
        """What went in slices is not what it was: what is left of it is found again."""

    @abstractmethod
    def leave_out(self) -> None:
        """It stays until a later pass."""

    @abstractmethod
    def next_pass(self) -> None:
        """From the beginning."""

    def again(self) -> None:
        """It was rolled back: the next one is as large as fits now."""
        self.batch = None

    def settle(self, staged: Stage) -> None:
        """Drops from the stage what must not go."""
        settle(staged)

    def made(self, *, prefix: str = "custody_records") -> Stage:
        """A stage in the session as it is."""
        task = self.task
        return Stage(self.graph, task.due, using=task.using, prefix=prefix, marked=task.marked)


class RecordFinder(Finder):
    """Walks the policy's table as the cursor says."""

    def __init__(self, task: PurgeTask, walk: Walk, size: BatchSize) -> None:
        super().__init__(task, size)
        self.walk = walk
        self._window: Window | None = None
        self._place: str | None = None
        self._roots = FIRST_ROOTS
        self._fewer: int | None = None
        self._last = ""

    def find(self, cursor: dict[str, Any], beat: Beat) -> None:
        if self._stage is None or not self._stage.alive:
            self._begin()
        if self.position is None and cursor["leaf"] is not None:
            self.position = (cursor["leaf"], cursor["after"])
        if self._slices is not None and self.batch is None:
            self._next_slice(self._slices)
        while self.batch is None and not self.ended:
            beat()
            self._window = self._window or self._next_window(cursor)
            if self._window is None:
                self.ended = True
            elif not self._fill(self._window, beat):
                leaf = self._window.leaf
                upto = self._window.upto
                self.position = ([leaf.schema, leaf.name], list(upto) if upto else None)
                self._window = self._place = None

    def _begin(self) -> None:
        """In a session that is new: what was staged is gone with the old one."""
        self._stage = self.made()
        if self.task.root_archive is not None:
            make_room(self._stage)
        self.batch = self._slices = self._place = None

    # What became of the batch.

    def went(self) -> None:
        assert self.batch is not None
        if self.batch.slices:
            self.batch.slices.went()
        else:
            self._place = self.batch.last
        self.batch = None
        if self._fewer is not None:
            self._fewer = self._fewer * 2 if self._fewer * 2 < self._roots else None

    def fewer(self) -> None:
        """It is looked for in ever smaller batches."""
        assert self.batch is not None
        if self.batch.roots == 1:
            self.leave_out()
        else:
            self._fewer = max(1, self.batch.roots // 8)
            self.batch = None

    def anew(self) -> None:
        self.batch = self._slices = None
        self._fewer = 1

    def leave_out(self) -> None:
        assert self.batch is not None
        self._place = self.batch.last
        self.batch = self._slices = None
        self.left_out = True

    def next_pass(self) -> None:
        self.batch = self._slices = self._window = self._place = self.position = None
        self.ended = self.left_out = False

    # Finding.

    def _next_window(self, cursor: dict[str, Any]) -> Window | None:
        task = self.task
        at = TableName(*self.position[0]) if self.position else None
        pages = task.parameters.get("pages") if cursor["pass"] == 1 else None
        by_age = self.walk.columns == (task.due.age_column,)
        for leaf in sorted(task.table.leaves or (task.table.name,)):
            if (at is not None and leaf < at) or not is_part(leaf, task.table.name, task.using):
                continue
            after = self.position[1] if self.position and leaf == at else None
            if at == leaf and after is None:
                continue
            window = next_window(
                table=task.table,
                leaf=leaf,
                walk=self.walk,
                after=after,
                size=PAGES if self.walk.by == "ctid" else KEYS,
                within=expired(task.due) if by_age else None,
                pages=tuple(pages) if pages is not None else None,
                using=task.using,
            )
            if window is not None:
                return window
        return None

    def _fill(self, window: Window, beat: Beat) -> bool:
        """Stages the next records of the window; False when there are none."""
        staged, most = self.stage, self._fewer or self._roots
        where = window_predicate(window, self.task.table, alias="t")
        while True:
            staged.empty()
            last = add_roots(staged, window.leaf, where, after=self._place, most=most)
            if last is None:
                return False
            roots = staged.count(0)
            total = close(staged, most=self.size.value, beat=beat)
            fitting = max(1, int(SHARE * self.size.value * roots / total))
            if roots == 1 or total <= self.size.value:
                break
            # It stopped in between, so there are more than that.
            most = min(roots // 2, fitting)
        self._roots = fitting
        if total > self.size.value:
            self._slice(window, where, last, beat)
        else:
            self.settle(staged)
            self._propose(roots, last)
        return True

    def _propose(self, roots: int, last: str) -> None:
        batch = Batch(tuple(self.stage.targets()), roots, last)
        if batch.targets:
            self.batch = batch
        else:
            self._place = last

    def _slice(self, window: Window, where: sql.Composable, last: str, beat: Beat) -> None:
        """The record that does not fit is found whole: something deep in it may keep all of it."""
        if self._whole is None or not self._whole.alive:
            self._whole = self.made(prefix="custody_whole")
        self._whole.empty()
        add_roots(self._whole, window.leaf, where, after=self._place, most=1)
        close(self._whole, most=None, beat=beat)
        self.settle(self._whole)
        self._last = last
        self._slices = Slices(self._whole, beat)
        self._next_slice(self._slices)

    def _next_slice(self, slices: Slices) -> None:
        if slices.select(self.stage, self.size.value):
            self.batch = Batch(tuple(self.stage.targets()), 1, self._last, slices)
        else:
            self._place, self._slices = self._last, None

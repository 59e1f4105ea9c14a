"""Which deletions of the bin are destroyed next: as many as fit into one step, or a slice of one.

A row is known by its mark: no foreign key is followed to find what belongs to a deletion. They only
tell what has to wait: a row to which another refers that does not go, be it of another deletion.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg import sql

from operations import vetoes
from operations.batches.sizing import BatchSize
from operations.runs.kinds import Beat
from retention.selectors.deletions_due import ROWS, DueDeletions
from retention.selectors.softdelete_marks import DELETION
from retention.services.bin_counts import deletions_begin, deletions_end
from retention.services.purge_task import PurgeTask
from retention.services.record_fill import keep_referred, keeps
from retention.services.record_finder import Batch, Finder
from retention.services.record_remove import make_room
from retention.services.record_settle import settle_together
from retention.services.record_slices import Slices
from retention.services.record_stage import C, Stage

MOST = 1_000
"""Deletions in one step: each has its own counts."""

Protected = tuple[tuple[str, str], ...]


class BinFinder(Finder):
    """Goes through the deletions in the order of their numbers."""

    def __init__(self, task: PurgeTask, size: BatchSize, which: DueDeletions) -> None:
        super().__init__(task, size)
        self._which = which
        self.ids: tuple[int, ...] = ()
        """The deletions that the batch has rows of."""
        self.after: int | None = None
        """The number of the last deletion that is done with."""
        self.last = 0
        """The number of the last deletion that was looked at for the batch."""
        self._most = MOST
        self._busy: set[int] = set()
        """Somebody has these locked: they are for a later pass."""
        self._protected: Protected = ()

    def find(self, cursor: dict[str, Any], beat: Beat) -> None:
        if self._stage is None or not self._stage.alive:
            self._begin()
        if self.after is None:
            self.after = cursor.get("bin", {}).get("after", 0)
        if self._slices is not None and self.batch is None:
            self._next_slice(self._slices)
        while self.batch is None and not self.ended:
            beat()
            found = self._next()
            if found:
                self._fill(found, beat)
            else:
                self.ended = True

    def _begin(self) -> None:
        self._stage = self.made()
        if self.task.root_archive is not None:
            make_room(self._stage)
        self.batch = self._slices = None

    # What became of the batch.

    def went(self) -> None:
        assert self.batch is not None
        if self.batch.slices:
            self.batch.slices.went()
        else:
            self.after = self.last
            self._most = min(self._most * 2, MOST)
        self.batch = None

    def fewer(self) -> None:
        """A trigger keeps a row, say: it is looked for in ever fewer deletions."""
        if len(self.ids) == 1:
            self.leave_out()
        else:
            self._most = max(1, len(self.ids) // 8)
            self.batch = None

    def anew(self) -> None:
        self.batch = self._slices = None

    def leave_out(self) -> None:
        self._end(self.ids)
        self.after = self.last
        self.batch = self._slices = None
        self.left_out = True

    def next_pass(self) -> None:
        self.batch = self._slices = None
        self.after, self.ended, self.left_out = 0, False, False
        self._busy.clear()

    def settle(self, staged: Stage) -> None:
        settle_together(staged)

    def as_protected(self) -> bool:
        """Whether the same rows are protected as when the large deletion was looked through."""
        return self._protections() == self._protected

    # Finding.

    def _next(self) -> dict[int, int]:
        """The next deletions that fit, or one that does not, with their rows."""
        query = self._which.query(run_id=self.task.run.pk).filter(pk__gt=self.after)
        query = query.exclude(pk__in=self._busy)
        found: dict[int, int] = {}
        for pk, rows in query.annotate(rows=ROWS).values_list("pk", "rows")[: self._most]:
            if found and sum(found.values()) + rows > self.size.value:
                break
            found[pk] = rows
        return found

    def _fill(self, found: dict[int, int], beat: Beat) -> None:
        large = sum(found.values()) > self.size.value
        staged = self._whole_stage() if large else self.stage
        self._protected = self._protections()
        self._stage_rows(staged, found, beat)
        going = self._going(staged)
        self.last = max(found)
        self.ids = tuple(sorted(going))
        task = self.task
        begun = deletions_begin(going, run_id=task.run.pk, fence=task.run.fence, using=task.using)
        if begun != going:
            self._busy |= going - begun
            self.left_out = True
            return
        self._end(found.keys() - going)
        if not going:
            self.after = self.last
        elif large:
            self._slices = Slices(staged, beat)
            self._next_slice(self._slices)
        else:
            self.batch = Batch(tuple(staged.targets()), len(going), "")

    def _whole_stage(self) -> Stage:
        if self._whole is None or not self._whole.alive:
            self._whole = self.made(prefix="custody_whole")
        return self._whole

    def _stage_rows(self, staged: Stage, ids: dict[int, int], beat: Beat) -> None:
        staged.empty()
        for number in sorted(staged.marked):
            beat()
            staged.run(
                sql.SQL(
                    "INSERT INTO {stage} ({leaf}, {place}, {version}, {root}, {level}, {kept}"
                    "{more}) SELECT t.tableoid, t.ctid, t.xmin, false, 0, {keeps}{columns}"
                    " FROM {table} t WHERE t.{deletion} = ANY ({ids}::bigint[])"
                ).format(
                    stage=staged.name(number),
                    more=staged.listed(number),
                    columns=staged.listed(number, "t"),
                    keeps=keeps(staged, number),
                    table=staged.graph.tables[number].name.sql,
                    deletion=sql.Identifier(DELETION),
                    ids=sql.Literal(list(ids)),
                    **C,
                )
            )
        staged.analyze()
        beat()
        keep_referred(staged, again=True)
        beat()
        self.settle(staged)

    def _going(self, staged: Stage) -> set[int]:
        """The deletions of which rows are left in the stage."""
        return {
            row[0]
            for number in staged.marked
            for row in staged.ask(
                sql.SQL("SELECT DISTINCT {} FROM {}").format(
                    sql.Identifier(DELETION), staged.name(number)
                )
            )
        }

    def _next_slice(self, slices: Slices) -> None:
        if slices.select(self.stage, self.size.value):
            self.batch = Batch(tuple(self.stage.targets()), 1, "", slices)
        else:
            self._end(self.ids)
            self.after, self._slices = self.last, None

    def _end(self, ids: Iterable[int]) -> None:
        task = self.task
        deletions_end(ids, tables=task.marked_names, run_id=task.run.pk, using=task.using)

    def _protections(self) -> Protected:
        """Who protects what of these tables, as text to compare."""
        return tuple(
            (each.by, each.rows.as_string(None) if each.rows is not None else "")
            for table in self.graph.tables
            for each in vetoes.protections(table, using=self.task.using)
        )

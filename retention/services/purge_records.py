"""Rows with what goes along with them: found beforehand, then locked, looked at and deleted in one
step, whole records where they fit into it.

Invariants:
- A record goes whole or not at all, children first: a row that must stay keeps its root. Only a
  record that is larger than a step goes in several.
- What was found is a proposal: the step locks every row, and whatever was changed, came, or is
  protected since keeps its root for a later pass.
"""

from __future__ import annotations

import time
from typing import Any

from psycopg import errors

from operations.batches.sizing import TARGET_SECONDS
from operations.catalogue.types import TableName
from operations.models import Run
from operations.runs.kinds import Beat, StepStalled
from operations.services.run_execute import STATEMENT_LIMIT
from retention.services.archive_writing import Part
from retention.services.bin_counts import rows_purged
from retention.services.copy_out import Sink
from retention.services.layout import session_pin
from retention.services.purge_parts import OpenPart
from retention.services.purge_task import STEP_SECONDS, PhaseStep, PurgePhase, PurgeTask
from retention.services.purge_windows import LEFT, MOST_PASSES, TOO_LONG
from retention.services.record_check import (
    Limit,
    chain_holds,
    keep_again,
    lock_rows,
    same_place,
)
from retention.services.record_finder import Batch, Finder
from retention.services.record_remove import (
    Removed,
    RowsStay,
    delete_rows,
)
from retention.services.record_stage import Target

MOST_TRIES = 5
"""For a record in slices that changes while it goes: then it is left to the next pass."""
_REFUSED = (errors.ForeignKeyViolation, errors.RestrictViolation)


class RecordsPhase(PurgePhase):
    """Takes records until none that is due is left."""

    def __init__(self, task: PurgeTask, finder: Finder) -> None:
        super().__init__(task)
        self.size = finder.size
        self.finder = finder
        self.skip_locked = False
        self.tries = 0
        self._stale = False
        self._next_pass = False
        self._rows = 0
        self._seconds = 0.0

    def leaves(self) -> list[TableName]:
        return [leaf for each in self.task.graph.tables for leaf in each.leaves or (each.name,)]

    def prepare(self, cursor: dict[str, Any], beat: Beat) -> None:
        self.finder.find(cursor, beat)

    def step(self, run: Run, cursor: dict[str, Any], began: float) -> PhaseStep:
        self._stale = self._next_pass = False
        batch = self.finder.batch
        if batch is None:
            return self._end_of_pass(run, cursor)
        removed = self._remove(run, batch, cursor, began)
        self._rows = sum(each.rows for each in removed)
        self._seconds = time.monotonic() - began
        counts = {**cursor.get("tables", {})}
        for each in removed:
            counts[str(each.number)] = counts.get(str(each.number), 0) + each.rows
        cursor["tables"] = counts
        self._move(cursor)
        cursor["found"] += self._rows
        return PhaseStep(cursor, self._rows, finished=False)

    def _move(self, cursor: dict[str, Any]) -> None:
        """Windows that are done with. A worker that takes over looks through the one under way."""
        if self.finder.position is not None:
            cursor["leaf"], cursor["after"] = self.finder.position
        cursor["skipped"] = cursor["skipped"] or self.finder.left_out
        cursor["size"] = self.size.value

    def _remove(
        self, run: Run, batch: Batch, cursor: dict[str, Any], began: float
    ) -> list[Removed]:
        staged, using = self.finder.stage, self.task.using
        limit = Limit(began + STATEMENT_LIMIT, using=using)
        targets = self._certain(batch, limit)
        if targets is None or not targets:
            cursor["skipped"] = True
            self._stale = targets is None
            return []
        cursor["skipped"] = cursor["skipped"] or targets != batch.targets
        session_pin(using)
        opened: dict[int, OpenPart] = {}

        def sink(number: int) -> Sink | None:
            if self.task.root_archive is None:
                return None
            opened[number] = self._open(run, number, cursor, began)
            return opened[number].writer.write

        removed = delete_rows(staged, targets, sinks=sink, limit=limit)
        rows_purged(staged)
        self._keep_parts(removed, opened, cursor)
        return removed

    def _certain(self, batch: Batch, limit: Limit) -> tuple[Target, ...] | None:
        """What of the batch may go for certain, locked; None when it has to be found anew."""
        staged = self.finder.stage
        if not same_place(staged, batch.targets):
            return None
        slices = batch.slices
        if slices and not chain_holds(staged, slices, skip_locked=self.skip_locked, limit=limit):
            return None
        kept = lock_rows(staged, batch.targets, skip_locked=self.skip_locked, limit=limit)
        kept += self._keep_again(batch, limit)
        if not kept:
            return batch.targets
        if slices:
            return None
        limit()
        self.finder.settle(staged)
        return tuple(staged.targets())

    def _keep_again(self, batch: Batch, limit: Limit) -> int:
        return keep_again(self.finder.stage, batch.targets, limit=limit)

    # Parts.

    def _open(self, run: Run, number: int, cursor: dict[str, Any], began: float) -> OpenPart:
        made = cursor.get("parts", {})
        return self.task.parts.begin(
            self.task.archives[number],
            table=self.task.graph.tables[number],
            number=made.get(str(number), 0) + 1,
            fence=run.fence,
            deadline=began + STEP_SECONDS,
        )

    def _keep_parts(
        self, removed: list[Removed], opened: dict[int, OpenPart], cursor: dict[str, Any]
    ) -> None:
        if not opened:
            return
        # Before those beside it, which name it.
        self.task.archives[0].begun(self.task.table)
        made = {**cursor.get("parts", {})}
        parts = []
        for each in removed:
            made[str(each.number)] = made.get(str(each.number), 0) + 1
            leaves = {target.leaf for target in each.targets}
            leaf = leaves.pop() if len(leaves) == 1 else self.task.graph.tables[each.number].name
            window = {"leaf": [leaf.schema, leaf.name], "by": "record"}
            part = Part(made[str(each.number)], leaf, each.rows, window)
            parts.append((opened[each.number], part))
        self.task.parts.keep(parts)
        cursor["parts"] = made

    # Passes.

    def _end_of_pass(self, run: Run, cursor: dict[str, Any]) -> PhaseStep:
        """Records that moved, changed, or were locked while they were walked past are swept up."""
        self._rows = 0
        self._move(cursor)
        looked = self.task.parameters.get("pages") is not None and cursor["pass"] == 1
        look = cursor["found"] > 0 or cursor["skipped"] or looked
        if not look or self._complete(run, cursor) or cursor["pass"] >= MOST_PASSES:
            notes = (LEFT,) if cursor["skipped"] else ()
            return PhaseStep(cursor, 0, finished=True, notes=notes)
        self._next_pass = True
        cursor.update(leaf=None, after=None, found=0, skipped=False)
        cursor["pass"] += 1
        return PhaseStep(cursor, 0, finished=False, notes=(f"Pass {cursor['pass']} begins.",))

    def _complete(self, run: Run, cursor: dict[str, Any]) -> bool:
        """As many of the policy's own rows as were counted: the rest is for the next run."""
        if cursor["skipped"] or run.plan["estimated"] or 0 in self.task.graph.named:
            return False
        return bool(cursor.get("tables", {}).get("0", 0) == run.plan["due"])

    # Around the step.

    def committed(self) -> None:
        self.skip_locked = False
        if self._next_pass:
            self.finder.next_pass()
        if self.finder.batch is None:
            return
        self.tries = self.tries + 1 if self._stale else 0
        if not self._stale:
            if self._rows > self.size.value / 2 or self._seconds > TARGET_SECONDS:
                self.size.took(self._seconds)
            self.finder.went()
        elif self.tries > MOST_TRIES:
            self.tries = 0
            self.finder.leave_out()
        else:
            self.finder.anew()

    def rolled_back(self, error: BaseException) -> None:
        cause = getattr(error, "__cause__", None)
        if self.finder.batch is None:
            return
        if isinstance(cause, errors.LockNotAvailable):
            self.skip_locked = True
        elif isinstance(error, RowsStay) or isinstance(cause, _REFUSED):
            self.finder.fewer()
        else:
            if isinstance(error, StepStalled) or isinstance(cause, TOO_LONG):
                self.size.shrink()
            self.finder.again()

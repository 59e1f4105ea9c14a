"""What is in the bin is destroyed: whole deletions, in the steps in which records are purged.

Invariants:
- Nothing of a deletion is destroyed before it is committed that it is being destroyed
  (`bin_counts.py`), and every step locks the deletions it has rows of: none can be restored.
- A row that must stay keeps all of its deletion that hangs together with it; the rest goes. What is
  left is in the bin as before, and waits.
"""

from __future__ import annotations

from typing import Any

from operations.batches.sizing import BatchSize
from operations.models import Run
from retention.selectors.deletions_due import DueDeletions
from retention.services.bin_counts import deletions_end, deletions_lock
from retention.services.bin_finder import BinFinder
from retention.services.purge_records import RecordsPhase
from retention.services.purge_task import PhaseStep, PurgeTask
from retention.services.purge_windows import MOST_PASSES
from retention.services.record_check import Limit
from retention.services.record_finder import Batch
from retention.services.record_remove import Removed
from retention.services.record_stage import Target

LEFT = (
    "Some rows of the bin are left: they are locked, or kept by a trigger. The next run tries "
    "again."
)
BEGINNING = {"pass": 1, "leaf": None, "after": None, "found": 0, "skipped": False}


class BinPhase(RecordsPhase):
    """Takes deletions until none that can go is left."""

    finder: BinFinder

    def __init__(self, task: PurgeTask, size: BatchSize, which: DueDeletions) -> None:
        super().__init__(task, BinFinder(task, size, which))

    def step(self, run: Run, cursor: dict[str, Any], began: float) -> PhaseStep:
        if "bin" not in cursor:
            # The phase before it has counted its own passes.
            cursor.update(BEGINNING, bin={"after": 0})
        return super().step(run, cursor, began)

    def _move(self, cursor: dict[str, Any]) -> None:
        """A deletion under way is found by its state, whoever goes on with it."""
        batch = self.finder.batch
        after = self.finder.after or 0
        if batch is not None and not batch.slices and not self._stale:
            after = self.finder.last
        cursor["bin"] = {**cursor["bin"], "after": after}
        cursor["skipped"] = cursor["skipped"] or self.finder.left_out
        cursor["size"] = self.size.value

    def _certain(self, batch: Batch, limit: Limit) -> tuple[Target, ...] | None:
        finder = self.finder
        if not deletions_lock(finder.ids, run_id=self.task.run.pk):
            return None
        targets = super()._certain(batch, limit)
        # Last: no hold can be placed any more in this step.
        if targets is not None and batch.slices and not finder.as_protected():
            return None
        return targets

    def _remove(
        self, run: Run, batch: Batch, cursor: dict[str, Any], began: float
    ) -> list[Removed]:
        removed = super()._remove(run, batch, cursor, began)
        if not batch.slices and not self._stale:
            deletions_end(
                self.finder.ids,
                tables=self.task.marked_names,
                run_id=run.pk,
                using=self.task.using,
            )
        return removed

    def _end_of_pass(self, run: Run, cursor: dict[str, Any]) -> PhaseStep:
        """What waited for something else in the bin may go now."""
        self._rows = 0
        self._move(cursor)
        if not (cursor["found"] or cursor["skipped"]) or cursor["pass"] >= MOST_PASSES:
            notes = (LEFT,) if cursor["skipped"] else ()
            return PhaseStep(cursor, 0, finished=True, notes=notes)
        self._next_pass = True
        cursor.update(bin={**cursor["bin"], "after": 0}, found=0, skipped=False)
        cursor["pass"] += 1
        return PhaseStep(cursor, 0, finished=False, notes=(f"Pass {cursor['pass']} begins.",))

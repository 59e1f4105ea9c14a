"""Partitions and the audit: what a history's last images are, and what goes with a dropped one.

Two more ways for a partition that goes whole:

- It is one of a *history*. Before it is detached, each key's newest image is carried forward into
  the next partition, so that every later moment shows the same rows without it.
- It is one of an *audited table*. Its rows are not deleted one by one, so no capture function takes
  their versions away. Once its parts are known, its table, of which nobody is told any more, is the
  list of what has to go from the history; it is dropped when all of it has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property

from auditing.models import Removal, TrackedTable
from auditing.services.history_carry import history_carry
from auditing.services.history_forget import history_forget
from operations.batches.sizing import BatchSize
from operations.batches.walk import Walk, Window, next_window
from operations.catalogue.types import TableName
from operations.runs.kinds import StepStalled
from retention.selectors.audited import audited, history_tracked
from retention.selectors.partition_units import Unit
from retention.services.partition_copy import late
from retention.services.partition_state import PartitionState
from retention.services.purge_task import PurgeTask
from retention.services.purge_windows import TOO_LONG

_WALK = Walk("ctid", (), "nobody writes to it")
PAGES = (256, 1, 32_768)
"""Of a slice: first, least, most."""
HISTORY_HELD = "the history of its rows is protected, and gets their deletion"


class PartitionHistory:
    """Slice by slice, as long as one worker owns the run."""

    def __init__(self, task: PurgeTask) -> None:
        self._task = task
        self._size = BatchSize(*PAGES, target=0.8)
        self._took: list[float] = []

    @cached_property
    def of(self) -> TrackedTable | None:
        """Whose history the policy's table is."""
        return history_tracked(self._task.table.name, using=self._task.using)

    def carries(self, unit: Unit) -> bool:
        """Whether what stood in the table at the partition's end matters to any later moment.

        Where the audit had ended by then, nobody knows what stood there afterwards.
        """
        if self.of is None:
            return False
        ended = self.of.untracked_at
        return ended is None or ended > datetime.fromisoformat(unit.end)

    def audited(self) -> TrackedTable | None:
        """What the policy's table is tracked as, now."""
        return audited([self._task.table], using=self._task.using).get(0)

    def obstacle(self) -> str:
        """Why no partition may go whole; empty when it may. In the transaction under way."""
        tracked = self.audited()
        held = tracked is not None and self._task.audit.held(tracked)
        return HISTORY_HELD if held else ""

    def retired(self, unit: Unit, versions: int) -> None:
        """In the transaction that drops a month of a history: that its versions went so."""
        if self.of is not None:
            Removal.objects.using(self._task.using).create(
                kind=Removal.Kind.RETIRED,
                tracked=self.of,
                run_id=self._task.run.pk,
                until=datetime.fromisoformat(unit.end),
                versions=versions,
            )

    def carry(
        self, unit: Unit, state: PartitionState, leaves: Sequence[TableName], *, began: float
    ) -> bool:
        """From where it was: one slice at least. Returns whether all is carried forward."""
        tracked = self.of
        assert tracked is not None

        def slice_(window: Window) -> None:
            history_carry(
                tracked,
                window,
                history=self._task.table,
                end=unit.end,
                using=self._task.using,
                run_id=self._task.run.pk,
            )

        return self._go_on(state, leaves, slice_, began)

    def forget(
        self,
        state: PartitionState,
        leaves: Sequence[TableName],
        *,
        began: float,
        whole: bool = False,
    ) -> bool:
        """From where it was: one slice at least, `whole`: all. Whether all versions are gone."""
        assert state.forgetting is not None
        tracked = TrackedTable.objects.get(pk=state.forgetting)

        def slice_(window: Window) -> None:
            history_forget(
                tracked,
                window,
                table=self._task.table,
                using=self._task.using,
                run_id=self._task.run.pk,
            )

        return self._go_on(state, leaves, slice_, began, whole=whole)

    def _go_on(
        self,
        state: PartitionState,
        leaves: Sequence[TableName],
        slice_: Callable[[Window], None],
        began: float,
        *,
        whole: bool = False,
    ) -> bool:
        self._took = []
        while state.leaf < len(leaves):
            window = next_window(
                table=self._task.table,
                leaf=leaves[state.leaf],
                walk=_WALK,
                after=state.after,
                size=self._size.value,
                using=self._task.using,
            )
            if window is None:
                state.leaf, state.after = state.leaf + 1, None
                continue
            if self._took and late(began) and not whole:
                return False
            start = time.monotonic()
            slice_(window)
            state.after = list(window.upto) if window.upto else None
            self._took.append(time.monotonic() - start)
        return True

    def committed(self) -> None:
        for seconds in self._took:
            self._size.took(seconds)
        self._took = []

    def rolled_back(self, error: BaseException) -> None:
        self._took = []
        if isinstance(error, StepStalled) or isinstance(error.__cause__, TOO_LONG):
            self._size.shrink()

"""Purging: rows at the end of their term are archived, if the policy says so, and deleted.

Invariants:
- Nothing is destroyed before its proof is durable: a batch's part and its sidecar are on disk under
  their names before the transaction that deletes the rows commits.
- Every row is live, or in exactly one part that the database knows. A part that it does not know
  is removed only here, under the lock of its unfinished run: whoever could still have committed it
  held that lock. The parts of a partition that is not dropped yet wait in the run's cursor.
- A veto wins: it is asked again in every batch, inside the transaction that deletes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from django.db import ProgrammingError
from django.utils import timezone
from psycopg import errors

from operations.batches.health import Health
from operations.batches.sizing import BatchSize
from operations.batches.walk import Walk
from operations.models import Run
from operations.runs.kinds import (
    Beat,
    Outcome,
    Plan,
    PlanOutdated,
    RunKind,
    Step,
    Throttle,
    register,
)
from operations.selectors.runs import run_get
from operations.storage import storage
from retention.models import RetentionPolicy
from retention.selectors.audited import HISTORY
from retention.selectors.deletions_due import DueDeletions
from retention.selectors.table_space import dead_rows_count
from retention.services.bin_counts import deletions_emptied, deletions_end_all
from retention.services.bin_entering import EnteringPhase
from retention.services.bin_phase import BinPhase
from retention.services.bin_plan import bin_lines
from retention.services.partition_back import partition_release
from retention.services.partition_phase import PartitionsPhase
from retention.services.partition_plan import FACTS, partition_lines
from retention.services.partition_state import planned_units, waiting_files
from retention.services.purge_close import purge_close, verify_parts
from retention.services.purge_plan import purge_plan
from retention.services.purge_records import RecordsPhase
from retention.services.purge_task import PurgePhase, PurgeTask
from retention.services.purge_windows import WindowsPhase
from retention.services.record_finder import RecordFinder

_PAGES = (4_096, 1, 131_072)
_KEYS = (10_000, 1, 500_000)
_RECORDS = (2_000, 1, 200_000)
"""Batch sizes: first, least, most; in pages, in rows, in rows of all tables that go along."""
_GONE = (errors.UndefinedTable, errors.UndefinedColumn)
_BEGINNING = {"pass": 1, "leaf": None, "after": None, "found": 0, "skipped": False, "part": 0}


@register
class Purge(RunKind):
    """Goes through its phases, one after the other, until nothing due is left."""

    name = "purge"
    title = "Purge"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.task = PurgeTask(run)
        self.cursor: dict[str, Any] = run.cursor
        self.next_cursor = self.cursor
        self.seconds = 0.0

    @cached_property
    def phases(self) -> list[PurgePhase]:
        """In their order; the cursor tells by number which one is under way."""
        if self.task.which is not None:
            return self._bin_phases(self.task.which)
        walk = Walk.from_json(self.parameters["walk"])
        # Of a table with soft delete each row is counted with its deletion, if it is in the bin.
        along = bool(self.parameters.get("dependents")) or bool(self.task.marked)
        first, least, most = _RECORDS if along else _PAGES if walk.by == "ctid" else _KEYS
        size = BatchSize(int(self.cursor.get("size", first)), least, most)
        batches: PurgePhase = (
            RecordsPhase(self.task, RecordFinder(self.task, walk, size))
            if along
            else WindowsPhase(self.task, walk, size)
        )
        if self.parameters["table"][0] == HISTORY:
            # A version that is older than a row's newest may only go with its whole partition.
            return [PartitionsPhase(self.task)]
        whole = [PartitionsPhase(self.task)] if planned_units(self.parameters) else []
        return [*whole, batches]

    def _bin_phases(self, which: DueDeletions) -> list[PurgePhase]:
        """What is due goes into the bin; then what has been there for long enough goes for good."""
        first, least, most = _RECORDS
        size = BatchSize(int(self.cursor.get("size", first)), least, most)
        phases: list[PurgePhase] = [BinPhase(self.task, size, which)]
        if walk := self.parameters["walk"]:
            phases.insert(0, EnteringPhase(self.task, Walk.from_json(walk), size))
        return phases

    @property
    def phase(self) -> PurgePhase:
        number: int = self.cursor.get("phase", 0)
        return self.phases[number]

    @cached_property
    def health(self) -> Health:
        leaves = {leaf for phase in self.phases for leaf in phase.leaves()}
        return Health(sorted(leaves), using=self.using)

    @classmethod
    def plan(cls, *, parameters: dict[str, Any], using: str) -> Plan:
        policy = RetentionPolicy.objects.get(pk=parameters["policy"])
        return purge_plan(policy=policy, now=timezone.now(), using=using)

    @classmethod
    def plan_lines(cls, plan: dict[str, Any]) -> list[str]:
        hidden = (*FACTS, "bin", "into_bin")
        others = {name: value for name, value in plan.items() if name not in hidden}
        return [*super().plan_lines(others), *partition_lines(plan), *bin_lines(plan)]

    def open(self, run: Run) -> None:
        self.task.reap(storage(), waiting=waiting_files(run.cursor))

    # One batch.

    def prepare(self, beat: Beat) -> None:
        with self._as_planned():
            self.task.audit.prepare()
            self.phase.prepare({**_BEGINNING, **self.cursor}, beat)

    def step(self, run: Run) -> Step:
        with self._as_planned():
            return self._batch(run)

    @contextmanager
    def _as_planned(self) -> Iterator[None]:
        try:
            yield
        except ProgrammingError as error:
            if isinstance(error.__cause__, _GONE):
                raise self.task.outdated("it, a part of it or what refers to it is gone") from error
            raise

    def _batch(self, run: Run) -> Step:
        began = time.monotonic()
        self.task.still_as_planned()
        self.task.lock_shape()
        cursor = {**_BEGINNING, **run.cursor}
        if self.phase.destroys:
            cursor = self.task.audit.begin(cursor)
            self.task.pass_capture()
        step = self.phase.step(run, cursor, began)
        self._refuse_surge(run, step.done)
        self.seconds = time.monotonic() - began
        self.next_cursor = step.cursor
        number = step.cursor.get("phase", 0)
        if step.finished and number + 1 < len(self.phases):
            self.next_cursor = {**step.cursor, "phase": number + 1}
            return Step(self.next_cursor, step.done, finished=False, notes=step.notes)
        return Step(step.cursor, step.done, finished=step.finished, notes=step.notes)

    def _refuse_surge(self, run: Run, count: int) -> None:
        """The count that let it go by itself was an estimate, or rows were dated back since."""
        most = self.parameters.get("most_unapproved")
        if most is not None and run.decided_by_id is None and run.done + count > most:
            raise PlanOutdated(
                f"Over {most:,} rows are due, which is more than the {run.total:,} that were "
                "counted and than may go unapproved. What the run did is closed; start it again."
            )

    # Around the batch.

    def committed(self) -> None:
        self.task.parts.committed()
        self.phase.committed()
        self.cursor = self.next_cursor

    def rolled_back(self, error: BaseException) -> None:
        self.task.parts.rolled_back()
        self.next_cursor = self.cursor
        self.phase.rolled_back(error)

    def lost(self) -> None:
        waiting = waiting_files(run_get(self.run_id).cursor)
        self.task.parts.lost(waiting=waiting)

    def recovered(self, error: BaseException, beat: Beat) -> None:
        self.task.parts.recovered(beat)

    def throttle(self) -> Throttle | None:
        return self.phase.throttle() or self.health.throttle(self.seconds)

    def verify(self, run: Run, beat: Beat) -> None:
        dead_rows_count(using=self.using)
        verify_parts(run, storage(), beat)
        deletions_emptied(using=self.using)

    def finish(self, run: Run, outcome: Outcome) -> dict[str, Any]:
        partition_release(run=run, outcome=outcome)
        deletions_end_all(run)
        return purge_close(run=run, outcome=outcome)

"""Due rows go into the bin, with all that goes along with them: one deletion a batch.

A record goes into the bin whole or not at all, as it would be destroyed: a hold on any row of it,
or a row that stays and refers to it, keeps it where it is. So does a hold on a row that would lose
its reference.
"""

from __future__ import annotations

import json
import time
from typing import Any

from django.db import DatabaseError, connections
from psycopg import errors, sql

from operations.batches.sizing import BatchSize
from operations.batches.walk import Walk, Window
from operations.models import Run
from operations.runs.kinds import Beat, StepStalled
from operations.services.run_execute import STATEMENT_LIMIT
from retention.models import Deletion, RetentionPolicy
from retention.selectors.deletion_holds import protected_rows
from retention.selectors.dependents import Graph
from retention.selectors.references import refers
from retention.selectors.softdelete_graph import Enabled, Entering, entering_graph
from retention.services.purge_records import RecordsPhase
from retention.services.purge_task import PhaseStep, PurgeTask
from retention.services.purge_windows import TOO_LONG
from retention.services.record_check import Limit
from retention.services.record_fill import close
from retention.services.record_finder import Batch, RecordFinder
from retention.services.record_remove import RowsStay
from retention.services.record_stage import C, Stage

SHOWN = 1_000
"""Deletions whose numbers are kept with the run."""


_STAYS = (
    errors.ObjectNotInPrerequisiteState,
    errors.NotNullViolation,
    errors.CheckViolation,
    errors.RaiseException,
)
"""A trigger of the application's keeps a row, or a constraint does not let its reference go."""


class EnteringFinder(RecordFinder):
    """Finds active records that are due."""

    def __init__(self, task: PurgeTask, walk: Walk, size: BatchSize) -> None:
        super().__init__(task, walk, size)
        self.entering: Entering = entering_graph(task.table, Enabled(using=task.using))

    @property
    def graph(self) -> Graph:
        return self.entering.graph

    def _begin(self) -> None:
        self._stage = Stage(self.graph, self.task.due, using=self.task.using)
        self.batch = self._place = None

    def settle(self, staged: Stage) -> None:
        self.keep_severed(staged)
        super().settle(staged)

    def keep_severed(self, staged: Stage) -> int:
        """Marks as kept, and counts, rows to which protected rows refer that would be changed."""
        kept = 0
        for each in self.entering.severed:
            found = protected_rows(each, using=staged.using)
            if found is None:
                continue
            kept += staged.run(
                sql.SQL(
                    "UPDATE {stage} p SET {kept} = true"
                    " FROM (SELECT t.* FROM {child} t WHERE {where}) c"
                    " WHERE NOT p.{kept} AND {refers}"
                ).format(
                    stage=staged.name(each.parent),
                    child=each.key.table.sql,
                    where=found[0],
                    refers=refers(
                        each.key, staged.graph.tables[each.parent], child="c", referred="p"
                    ),
                    **C,
                )
            )
        return kept

    def _slice(self, window: Window, where: sql.Composable, last: str, beat: Beat) -> None:
        """A deletion is one thing: the record goes in one step, or not."""
        close(self.stage, most=None, beat=beat)
        self.settle(self.stage)
        self._propose(1, last)


class EnteringPhase(RecordsPhase):
    """Walks the policy's table until nothing that is due is active."""

    destroys = False
    finder: EnteringFinder

    def __init__(self, task: PurgeTask, walk: Walk, size: BatchSize) -> None:
        super().__init__(task, EnteringFinder(task, walk, size))
        self._too_large = 0

    def step(self, run: Run, cursor: dict[str, Any], began: float) -> PhaseStep:
        self._stale = self._next_pass = False
        notes = self._notes()
        batch = self.finder.batch
        if batch is None:
            step = self._end_of_pass(run, cursor)
            return PhaseStep(step.cursor, step.done, step.finished, (*notes, *step.notes))
        self._rows = self._enter(run, batch, cursor, began)
        self._seconds = time.monotonic() - began
        self._move(cursor)
        cursor["found"] += self._rows
        return PhaseStep(cursor, self._rows, finished=False, notes=notes)

    def _enter(self, run: Run, batch: Batch, cursor: dict[str, Any], began: float) -> int:
        limit = Limit(began + STATEMENT_LIMIT, using=self.task.using)
        targets = self._certain(batch, limit)
        if not targets:
            cursor["skipped"] = True
            self._stale = targets is None
            return 0
        cursor["skipped"] = cursor["skipped"] or targets != batch.targets
        limit()
        deletion = self._delete()
        if deletion is None:
            cursor["skipped"] = True
            return 0
        Deletion.objects.filter(pk=deletion).update(run=run)
        rows = sum(each.rows for each in Deletion.objects.get(pk=deletion).tables.all())
        before = cursor.get("entered", {"rows": 0, "deletions": [], "count": 0})
        cursor["entered"] = {
            "rows": before["rows"] + rows,
            "deletions": [*before["deletions"], deletion][:SHOWN],
            "count": before["count"] + 1,
        }
        return rows

    def _delete(self) -> int | None:
        """None: they are in the bin, or gone, by now."""
        task, staged = self.task, self.finder.stage
        table = staged.graph.root
        assert table.key is not None
        keys = staged.ask(
            sql.SQL("SELECT {} FROM {} WHERE {root}").format(
                sql.SQL(", ").join(
                    sql.SQL("{}::pg_catalog.text").format(sql.Identifier(name))
                    for name in table.key.columns
                ),
                staged.name(0),
                **C,
            )
        )
        policy = RetentionPolicy.objects.get(pk=task.parameters["policy"])
        reason = f"Past the term of policy {policy.name}: {policy.term}."
        try:
            with connections[task.using].cursor() as cursor:
                cursor.execute(
                    "SELECT custody.softdelete_rows(%s::oid, %s::jsonb, %s, 'policy')",
                    [table.oid, json.dumps(keys), reason],
                )
                deletion: int | None = cursor.fetchone()[0]
        except DatabaseError as error:
            if isinstance(error.__cause__, _STAYS):
                raise RowsStay(f"A record stays: {' '.join(str(error).split())}") from error
            raise
        return deletion

    def _keep_again(self, batch: Batch, limit: Limit) -> int:
        kept = super()._keep_again(batch, limit)
        limit()
        return kept + self.finder.keep_severed(self.finder.stage)

    def rolled_back(self, error: BaseException) -> None:
        batch = self.finder.batch
        too_long = not isinstance(error, RowsStay) and (
            isinstance(error, StepStalled)
            or isinstance(getattr(error, "__cause__", None), TOO_LONG)
        )
        if batch is not None and batch.roots == 1 and too_long:
            self._too_large = max(self._too_large, batch.rows)
            self.finder.leave_out()
        else:
            super().rolled_back(error)

    def _notes(self) -> tuple[str, ...]:
        rows, self._too_large = self._too_large, 0
        if not rows:
            return ()
        note = (
            f"A record of {rows:,} rows is too large to go into the bin within one step: somebody "
            "has to delete it (manage.py record_delete)."
        )
        return (note,)

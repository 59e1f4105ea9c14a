"""Rows that nothing goes along with: deleted window by window, each in one statement."""

from __future__ import annotations

import time
from typing import Any

from django.db import OperationalError, connections, transaction
from psycopg import errors, sql

from operations import vetoes
from operations.batches.sizing import BatchSize
from operations.batches.walk import Walk, Window, next_window
from operations.catalogue.types import TableName
from operations.models import Run
from operations.runs.kinds import StepStalled
from retention.selectors.due import due, expired
from retention.services.archive_writing import Part
from retention.services.layout import session_pin
from retention.services.purge_delete import delete_window, lock_leaf
from retention.services.purge_task import STEP_SECONDS, PhaseStep, PurgePhase, PurgeTask

MOST_PASSES = 3
LEFT = (
    "Some due rows may be left: they are locked, moved, or kept by a trigger. "
    "The next run tries again."
)
TOO_LONG = (
    errors.QueryCanceled,
    errors.TransactionTimeout,
    errors.IdleInTransactionSessionTimeout,
    errors.AdminShutdown,
)
"""A step of this size does not fit into its time."""


class WindowsPhase(PurgePhase):
    """Walks the policy's table until nothing due is left."""

    def __init__(self, task: PurgeTask, walk: Walk, size: BatchSize) -> None:
        super().__init__(task)
        self.walk, self.size = walk, size
        self.skip_locked = False
        self.seconds = 0.0

    def leaves(self) -> list[TableName]:
        return sorted(self.task.table.leaves or (self.task.table.name,))

    def step(self, run: Run, cursor: dict[str, Any], began: float) -> PhaseStep:
        window = self._window(cursor)
        if window is None:
            return self._end_of_pass(run, cursor)
        count = self._delete(run, window, cursor, began)
        self.seconds = time.monotonic() - began
        cursor["leaf"] = [window.leaf.schema, window.leaf.name]
        cursor["after"] = list(window.upto) if window.upto else None
        cursor["found"] += count
        cursor["skipped"] = cursor["skipped"] or self.skip_locked
        cursor["size"] = self.size.value
        return PhaseStep(cursor, count, finished=False)

    def _delete(self, run: Run, window: Window, cursor: dict[str, Any], began: float) -> int:
        task = self.task
        free = vetoes.unprotected(
            vetoes.protections(task.table, using=task.using), table=task.table
        )
        session_pin(task.using)
        part = None
        if task.root_archive is not None:
            part = task.parts.begin(
                task.root_archive,
                table=task.table,
                number=cursor["part"] + 1,
                fence=run.fence,
                deadline=began + STEP_SECONDS,
            )
        count = delete_window(
            task.due,
            window,
            free,
            skip_locked=self.skip_locked,
            sink=part.writer.write if part else None,
            using=task.using,
        )
        if part is not None and count:
            cursor["part"] += 1
            made = Part(cursor["part"], window.leaf, count, window.to_json())
            task.parts.keep([(part, made)])
        elif part is not None:
            task.parts.drop(part)
        return count

    def _window(self, cursor: dict[str, Any]) -> Window | None:
        """The next window, on this leaf or a later one; None at the end of the pass."""
        table, using = self.task.table, self.task.using
        at = TableName(*cursor["leaf"]) if cursor["leaf"] else None
        bound = expired(self.task.due) if self.walk.columns == (self.task.due.age_column,) else None
        for leaf in self.leaves():
            if at is not None and leaf < at:
                continue
            if not lock_leaf(leaf, table.name, using=using):
                continue
            window = next_window(
                table=table,
                leaf=leaf,
                walk=self.walk,
                after=cursor["after"] if leaf == at else None,
                size=self.size.value,
                within=bound,
                pages=self._pages(cursor),
                using=using,
            )
            if window is not None:
                return window
        return None

    def _pages(self, cursor: dict[str, Any]) -> tuple[int, int] | None:
        """Where the first pass looks. A later one looks everywhere: rows move."""
        pages = self.task.parameters.get("pages")
        return tuple(pages) if pages is not None and cursor["pass"] == 1 else None

    def _end_of_pass(self, run: Run, cursor: dict[str, Any]) -> PhaseStep:
        """Rows that moved while they were walked past, or were locked, are swept up."""
        look = cursor["found"] > 0 or cursor["skipped"] or self._pages(cursor) is not None
        missing = look or (run.total is not None and run.done < run.total)
        left = missing and self._anything_left(run)
        if not left or not look or cursor["pass"] >= MOST_PASSES:
            return PhaseStep(cursor, 0, finished=True, notes=(LEFT,) if left else ())
        cursor.update(leaf=None, after=None, found=0, skipped=False)
        cursor["pass"] += 1
        return PhaseStep(cursor, 0, finished=False, notes=(f"Pass {cursor['pass']} begins.",))

    def _anything_left(self, run: Run) -> bool:
        if run.done == run.total and not run.plan["estimated"]:
            # As many as were counted: the table need not be read once more. Rows that became due
            # since, because somebody dated them back, are for the next run.
            return False
        table, using = self.task.table, self.task.using
        free = vetoes.unprotected(vetoes.protections(table, using=using), table=table)
        query = sql.SQL("SELECT EXISTS (SELECT FROM {} t WHERE {})").format(
            table.name.sql, due(self.task.due, free, walking=False)
        )
        try:
            with transaction.atomic(using=using), connections[using].cursor() as cursor:
                cursor.execute(query)
                return bool(cursor.fetchone()[0])
        except OperationalError as error:
            if isinstance(error.__cause__, errors.QueryCanceled):
                # Too large to ask in one statement: another pass is the answer.
                return True
            raise

    def committed(self) -> None:
        self.skip_locked = False
        if self.seconds:
            self.size.took(self.seconds)

    def rolled_back(self, error: BaseException) -> None:
        cause = getattr(error, "__cause__", None)
        if isinstance(cause, errors.LockNotAvailable):
            self.skip_locked = True
        elif isinstance(error, StepStalled) or isinstance(cause, TOO_LONG):
            self.size.shrink()

"""The rows of a detached partition, copied into parts that the database is to know later."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections
from psycopg import sql

from operations.batches.sizing import BatchSize
from operations.batches.walk import Walk, Window, next_window, window_predicate
from operations.catalogue.types import TableName
from operations.models import Run
from operations.runs.kinds import StepStalled
from operations.storage import storage
from retention.selectors.due import DueRows, expired
from retention.selectors.partition_standing import DetachedLeaf
from retention.services.archive_writing import Part
from retention.services.copy_out import copy_out
from retention.services.layout import COPY_OPTIONS, column_list, session_pin, stored_columns
from retention.services.partition_state import PartitionState
from retention.services.purge_task import STEP_SECONDS, PurgeTask
from retention.services.purge_windows import TOO_LONG

_WALK = Walk("ctid", (), "nobody writes to a detached partition")
MORE_SECONDS = 0.35
"""A step that took no longer so far goes on with the next slice, or the next partition."""


def late(began: float) -> bool:
    return time.monotonic() - began > MORE_SECONDS


@dataclass(frozen=True)
class Content:
    rows: int
    due: int
    """Of these, how many have expired: all of them, unless somebody meddled."""


def content(rows: DueRows, table: TableName, *, using: str) -> Content:
    """Reads all of it once."""
    query = sql.SQL(
        "SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE {}) FROM {} t"
    ).format(expired(rows), table.sql)
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        return Content(*cursor.fetchone())


class PartitionCopy:
    """Slice by slice, each a part. Without an archive there is nothing to copy."""

    def __init__(self, task: PurgeTask, size: BatchSize) -> None:
        self._task, self._size = task, size
        self._took: list[float] = []

    def ended(self, state: PartitionState, leaves: Sequence[DetachedLeaf]) -> bool:
        return self._task.root_archive is None or state.leaf >= len(leaves)

    def go_on(
        self,
        run: Run,
        state: PartitionState,
        leaves: Sequence[DetachedLeaf],
        cursor: dict[str, Any],
        *,
        began: float,
    ) -> bool:
        """From where it was: one slice at least, and more while there is time.

        Returns whether there was anything to copy.
        """
        self._took = []
        while not self.ended(state, leaves):
            window = self._window(state, leaves[state.leaf])
            if window is None:
                state.leaf, state.after = state.leaf + 1, None
                continue
            if self._took and late(began):
                break
            self._slice(run, state, window, cursor, began)
        return bool(self._took)

    def lost_files(self, state: PartitionState) -> bool:
        """Whether a part is missing that was durable: then the rows are the only copy again."""
        archive = self._task.root_archive
        if archive is None or not state.parts:
            return False
        there = set(storage().list(f"{archive.folder}/"))
        return not all(part["file"] in there for part in state.parts)

    def know(self, state: PartitionState) -> None:
        """The rows are gone with this transaction: their parts exist from now on."""
        if self._task.root_archive is not None and state.parts:
            self._task.root_archive.know(state.parts, table=self._task.table)

    def committed(self) -> None:
        for seconds in self._took:
            self._size.took(seconds)
        self._took = []

    def rolled_back(self, error: BaseException) -> None:
        self._took = []
        if isinstance(error, StepStalled) or isinstance(error.__cause__, TOO_LONG):
            self._size.shrink()

    def _window(self, state: PartitionState, leaf: DetachedLeaf) -> Window | None:
        return next_window(
            table=self._task.table,
            leaf=leaf.name,
            walk=_WALK,
            after=state.after,
            size=self._size.value,
            using=self._task.using,
        )

    def _slice(
        self,
        run: Run,
        state: PartitionState,
        window: Window,
        cursor: dict[str, Any],
        began: float,
    ) -> None:
        archive, task = self._task.root_archive, self._task
        assert archive is not None
        start = time.monotonic()
        session_pin(task.using)
        part = task.parts.begin(
            archive,
            table=task.table,
            number=cursor["part"] + 1,
            fence=run.fence,
            deadline=began + STEP_SECONDS,
        )
        select = sql.SQL("SELECT {} FROM ONLY {} t WHERE {} AND ({}) IS TRUE").format(
            column_list(stored_columns(task.table), alias="t"),
            window.leaf.sql,
            window_predicate(window, task.table, alias="t"),
            expired(task.due),
        )
        copy = sql.SQL("COPY ({}) TO STDOUT ({})").format(select, sql.SQL(COPY_OPTIONS))
        count = copy_out(copy, part.writer.write, using=task.using)
        if count:
            cursor["part"] += 1
            made = Part(cursor["part"], window.leaf, count, window.to_json())
            state.parts.append(task.parts.durable(part, made))
            state.rows += count
        else:
            task.parts.drop(part)
        state.after = list(window.upto) if window.upto else None
        self._took.append(time.monotonic() - start)

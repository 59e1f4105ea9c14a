"""In which order the rows of a revert go back, kept in a cursor.

The last statement comes first. What PostgreSQL does by itself, a cascade, has its statement behind
the one that caused it, so that rows may come before what they refer to: such a statement waits
until one before it is done. In the end, and within a statement, rows wait for each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from auditing.models import ChangeStatement
from auditing.selectors.restorable import Restorable
from auditing.services.revert_stretch import StretchRevert
from operations.batches.sizing import BatchSize

START: dict[str, Any] = {
    "next": 0,
    "work": None,
    "again": [],
    "deferred": [],
    "waiting": [],
    "in_vain": 0,
    "reverted": 0,
    "already": 0,
    "conflict_count": 0,
    "conflicts": [],
}
"""`work`: the statement under way, by its place, and down from which `seq` it is still to do.
`again` and `deferred`: others that were begun, to be tried now and after the next that is done.
`waiting`: rows, by `seq`, of the statement under way."""
_LISTS = ("again", "deferred", "waiting", "conflicts")


def cursor_copy(cursor: dict[str, Any]) -> dict[str, Any]:
    """A cursor to write to, from one of a run, which may have none yet."""
    found = {**START, **cursor}
    return {**found, **{name: list(found[name]) for name in _LISTS}}


class RevertWalk:
    """One transaction's part of the walk."""

    def __init__(
        self,
        statements: Sequence[ChangeStatement],
        targets: dict[int, Restorable],
        *,
        size: BatchSize,
        using: str,
    ) -> None:
        """
        Args:
            statements: the last first.
            size: of a stretch, in sequence numbers; it follows the time that stretches take.
        """
        self._statements, self._targets = statements, targets
        self._size, self._using = size, using
        self._began = time.monotonic()
        self._tried = False

    def go(self, cursor: dict[str, Any], enough: Callable[[], bool]) -> bool:
        """Goes on until it is `enough`, or there is nothing left: then it returns True.

        It gets on by one stretch at least, or slow preparations would keep it where it is.
        """
        self._tried = False
        with ExitStack() as ready:
            for target in self._targets.values():
                ready.enter_context(target.ready())
            while not (self._tried and enough()):
                if cursor["work"] is None and not self._choose(cursor):
                    return True
                place, _, final = cursor["work"]
                statement = self._statements[place]
                target = self._targets[statement.tracked_id]
                work = StretchRevert(statement, target, using=self._using, began=self._began)
                self._statement(work, statement, cursor, enough, final=final)
        return cursor["work"] is None and not self._left(cursor)

    def _left(self, cursor: dict[str, Any]) -> bool:
        return bool(cursor["again"] or cursor["deferred"] or cursor["next"] < len(self._statements))

    def _choose(self, cursor: dict[str, Any]) -> bool:
        if cursor["again"]:
            place, high = cursor["again"].pop()
            cursor["work"] = [place, high, False]
        elif cursor["next"] < len(self._statements):
            place = cursor["next"]
            cursor["work"] = [place, self._statements[place].last_seq or 0, False]
            cursor["next"] = place + 1
        elif cursor["deferred"]:
            place, high = cursor["deferred"].pop()
            cursor["work"] = [place, high, True]
        else:
            return False
        return True

    def _statement(
        self,
        work: StretchRevert,
        statement: ChangeStatement,
        cursor: dict[str, Any],
        enough: Callable[[], bool],
        *,
        final: bool,
    ) -> None:
        place, high, _ = cursor["work"]
        first = statement.first_seq
        while first is not None and high >= first and not (self._tried and enough()):
            self._tried = True
            began, size = time.monotonic(), self._size.value
            low = max(high - size, first - 1)
            outcome = work.stretch(low, high, cursor, final=final)
            if outcome == "missing":
                cursor["deferred"].append([place, high])
                cursor["work"] = None
                return
            if outcome == "refused":
                # One of them cannot go back; the others must not wait for it.
                self._size.value = min(size, high - low)
                self._size.shrink()
                continue
            if high - low == size:
                self._size.took(time.monotonic() - began)
            high = low
        cursor["work"] = [place, high, final]
        if first is not None and high >= first:
            return
        while cursor["waiting"] and not (self._tried and enough()):
            self._tried = True
            work.waiting(cursor)
        if not cursor["waiting"]:
            cursor.update(work=None, again=[*cursor["again"], *cursor["deferred"]], deferred=[])

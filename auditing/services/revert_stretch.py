"""Putting a stretch of one statement's rows back, in the transaction under way."""

from __future__ import annotations

import time
from typing import Any, Literal

from django.db import DatabaseError, connections, transaction

from auditing.models import ChangeStatement
from auditing.selectors.restorable import Restorable
from auditing.selectors.revert_rows import RevertRows, RowLook
from auditing.services.obstacles import Obstacle, obstacle
from operations.batches.application_path import application_path
from operations.services.run_execute import STATEMENT_LIMIT
from operations.session import set_local

MOST_NAMED = 1_000
"""Conflicts that a run names; all are counted."""
BY_INDEX = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
"""A stretch is small and the tables are not, which the planner cannot know of each."""

Outcome = Literal["done", "refused", "missing"]


class _LeftOutError(Exception):
    """Fewer rows were written than were ready."""


class StretchRevert:
    """The rows of one statement, within one step. What became of them is added to the cursor."""

    def __init__(
        self, statement: ChangeStatement, target: Restorable, *, using: str, began: float
    ) -> None:
        """
        Args:
            began: when the transaction did (time.monotonic): what is left of its time is the limit
                of each statement.
        """
        self._statement, self._target, self._using = statement, target, using
        self._rows, self._began = RevertRows(statement, target), began

    def stretch(
        self,
        low: int,
        high: int,
        cursor: dict[str, Any],
        *,
        final: bool = True,
        may_wait: bool = True,
    ) -> Outcome:
        """Reverts what can be of the rows with low < seq <= high.

        Returns "refused" when the database refused one of several, and "missing" when what a row
        refers to is not there: then nothing was done.

        Args:
            final: nothing else may bring what is missing, but a row of this very statement.
            may_wait: a row that it may bring it to is kept for later.
        """
        self._limit()
        looks = self._rows.look(low, high)
        ready = [look for look in looks if look.state == "ready"]
        refused = self._tried(low, high, ready)
        if refused is None:
            cursor["reverted"] += len(ready)
        elif refused.may_come and not final:
            return "missing"
        elif len(ready) > 1:
            return "refused"
        elif may_wait and refused.may_come and len(cursor["waiting"]) < MOST_NAMED:
            cursor["waiting"].append(ready[0].seq)
        else:
            self._conflict(cursor, ready[0], refused.why)
        cursor["already"] += sum(look.state == "already" for look in looks)
        for look in looks:
            if look.state == "conflict":
                self._conflict(cursor, look, look.why)
        return "done"

    def waiting(self, cursor: dict[str, Any]) -> None:
        """Tries one of the rows again that wait for another; all for the last time, when a whole
        round of them was in vain."""
        if cursor["in_vain"] >= len(cursor["waiting"]):
            for seq in cursor["waiting"]:
                self.stretch(seq - 1, seq, cursor, may_wait=False)
            cursor.update(waiting=[], in_vain=0)
            return
        seq = cursor["waiting"].pop(0)
        self.stretch(seq - 1, seq, cursor)
        cursor["in_vain"] = cursor["in_vain"] + 1 if seq in cursor["waiting"] else 0

    def _tried(self, low: int, high: int, ready: list[RowLook]) -> Obstacle | None:
        try:
            with transaction.atomic(using=self._using):
                if ready and self._put(low, high, ready) != len(ready):
                    raise _LeftOutError
        except _LeftOutError:
            return Obstacle("it was changed at this moment, or a trigger left it out")
        except DatabaseError as error:
            refused = obstacle(error, self._target.table, using=self._using)
            if refused is None:
                raise
            return refused
        return None

    def _put(self, low: int, high: int, ready: list[RowLook]) -> int:
        self._limit()
        statement = self._rows.put(low, high, [look.seq for look in ready])
        with (
            application_path(self._target.table.name, using=self._using),
            connections[self._using].cursor() as cursor,
        ):
            cursor.execute(statement)
            done = int(cursor.rowcount)
        with connections[self._using].cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        return done

    def _conflict(self, cursor: dict[str, Any], look: RowLook, why: str) -> None:
        cursor["conflict_count"] += 1
        if len(cursor["conflicts"]) < MOST_NAMED:
            cursor["conflicts"].append(
                {
                    "table": str(self._target.table.name),
                    "record_id": look.record_id,
                    "statement": self._statement.pk,
                    "why": why,
                }
            )

    def _limit(self) -> None:
        """What is too much is to be cancelled. The limit on the transaction costs the session."""
        left = max(STATEMENT_LIMIT - (time.monotonic() - self._began), 0.05)
        set_local({"statement_timeout": f"{int(left * 1000)}ms"}, using=self._using)

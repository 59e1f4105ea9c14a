"""A purge of audited tables: their history goes with the rows, and the log has one line of it.

Invariants:
- The versions of a row go in the transaction that deletes it, by the capture function itself, which
  is told which tables are purged; so they go after the archive is durable, as the row does.
- While somebody protects a table's history, or a part of it, none of it goes: its rows are deleted
  as anybody would delete them, and the history gets the deletion.
"""

from __future__ import annotations

import time
from typing import Any

from auditing.models import TrackedTable
from auditing.services.history_carry import history_lock
from auditing.services.statement_summarise import statement_summarise
from operations import vetoes
from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table
from operations.session import set_local
from retention.selectors.audited import audited

SETTING = "custody.purging"
"""Names the audited tables by their oids, each between blanks."""
RUN = "custody.run"
"""The run for which their versions go, as a `Removal` of the audit tells of them."""
SUMMARY_SECONDS = 10.0
"""Between two looks at what was changed meanwhile, as beat has them."""
KEY = "audited"
"""In the run's cursor: for each audited table that it touched, by its number, the tracked table and
whether its history was protected at any time."""


class PurgeAudit:
    """One run's, as long as one worker owns it."""

    def __init__(self, tables: tuple[Table, ...], *, run_id: int, using: str) -> None:
        self._tables, self._run_id, self._using = tables, run_id, using
        self._histories: dict[int, Table | None] = {}
        self._summarised = -SUMMARY_SECONDS

    def prepare(self) -> None:
        """Before a step, outside a transaction: the log's lines of what changed these tables.

        They are made of versions, and the versions of what is purged go.
        """
        if time.monotonic() - self._summarised < SUMMARY_SECONDS:
            return
        self._summarised = time.monotonic()
        if audited(self._tables, using=self._using):
            statement_summarise(using=self._using)

    def begin(self, cursor: dict[str, Any]) -> dict[str, Any]:
        """In every step, before anything is deleted: what is purged with its history.

        Returns the cursor with what was found out. A carrying forward of one of these histories
        waits from here on until the step ends.
        """
        found = audited(self._tables, using=self._using)
        noted: dict[str, Any] = {**cursor.get(KEY, {})}
        going = []
        for number, tracked in sorted(found.items(), key=lambda each: each[1].pk):
            held = self.held(tracked)
            history_lock(tracked, shared=True, using=self._using)
            if not held:
                going.append(str(tracked.table_oid))
            _, before = noted.get(str(number), (tracked.pk, False))
            noted[str(number)] = [tracked.pk, before or held]
        set_local(
            {SETTING: f" {' '.join(going)} " if going else "", RUN: str(self._run_id)},
            using=self._using,
        )
        return {**cursor, KEY: noted} if noted else cursor

    def held(self, tracked: TrackedTable) -> bool:
        """Whether somebody protects any of the history."""
        if tracked.pk not in self._histories:
            try:
                self._histories[tracked.pk] = read_table(tracked.history, using=self._using)
            except NoSuchTable:
                self._histories[tracked.pk] = None
        history = self._histories[tracked.pk]
        return history is not None and bool(vetoes.protections(history, using=self._using))

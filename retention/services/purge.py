"""Purging: rows at the end of their term are archived, if the policy says so, and deleted.

Invariants:
- Nothing is destroyed before its proof is durable: a batch's part and its sidecar are on disk under
  their names before the transaction that deletes the rows commits.
- Every row is live, or in exactly one part that the database knows. A part that it does not know
  is removed only here, under the lock of its unfinished run: whoever could still have committed it
  held that lock.
- A veto wins: it is asked again in every batch, inside the transaction that deletes.
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import Any

from django.db import OperationalError, ProgrammingError, connections, transaction
from django.utils import timezone
from psycopg import errors, sql

from operations import vetoes
from operations.batches.health import Health
from operations.batches.sizing import BatchSize
from operations.batches.walk import Walk, Window, next_window
from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table, TableName
from operations.models import Run
from operations.runs.kinds import (
    Beat,
    Outcome,
    Plan,
    PlanOutdated,
    RunKind,
    Step,
    StepStalled,
    Throttle,
    register,
)
from operations.storage import storage
from retention.models import ArchivePart, RetentionPolicy
from retention.selectors.dependents import Graph, dependents_graph
from retention.selectors.due import DueRows, due, expired
from retention.services.archive_writing import ArchiveWriter
from retention.services.layout import fingerprint, session_pin
from retention.services.part_writer import PartWriter
from retention.services.purge_close import purge_close, verify_parts
from retention.services.purge_delete import delete_window, lock_against_ddl, lock_leaf
from retention.services.purge_plan import purge_plan, refuse_unsafe

STEP_SECONDS = 1.5
"""From the first lock to a durable part; what is left of the 2 s is the commit's."""
MOST_HANGING = 300.0
"""Seconds that a write which was given up may take to come back from the storage."""
MOST_PASSES = 3
_PAGES = (4_096, 1, 131_072)
_KEYS = (10_000, 1, 500_000)
"""Batch sizes: first, least, most; in pages and in rows."""
_BEGINNING = {"pass": 1, "leaf": None, "after": None, "found": 0, "skipped": False, "part": 0}
_TOO_LONG = (
    errors.QueryCanceled,
    errors.TransactionTimeout,
    errors.IdleInTransactionSessionTimeout,
    errors.AdminShutdown,
)


@register
class Purge(RunKind):
    """Walks the policy's table window by window until nothing due is left."""

    name = "purge"
    title = "Purge"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.walk = Walk.from_json(self.parameters["walk"])
        first, least, most = _PAGES if self.walk.by == "ctid" else _KEYS
        self.size = BatchSize(int(run.cursor.get("size", first)), least, most)
        self.archive = ArchiveWriter(run) if self.parameters["archive"] else None
        self.part: PartWriter | None = None
        self.skip_locked = False
        self.attempt = 0
        self.seconds = 0.0

    # Read when first needed: a run can be cancelled although its table is gone.

    @cached_property
    def table(self) -> Table:
        name = TableName(*self.parameters["table"])
        try:
            return read_table(name, using=self.using)
        except NoSuchTable as error:
            raise PlanOutdated(f"{error} What this run did is closed.") from error

    @cached_property
    def graph(self) -> Graph:
        named = self.parameters.get("dependents", [])
        return dependents_graph(table=self.table, dependents=named, using=self.using)

    @cached_property
    def due(self) -> DueRows:
        return DueRows.from_parameters(self.table, self.parameters)

    @cached_property
    def leaves(self) -> list[TableName]:
        return sorted(self.table.leaves or (self.table.name,))

    @cached_property
    def health(self) -> Health:
        return Health(self.leaves, using=self.using)

    @classmethod
    def plan(cls, *, parameters: dict[str, Any], using: str) -> Plan:
        policy = RetentionPolicy.objects.get(pk=parameters["policy"])
        return purge_plan(policy=policy, now=timezone.now(), using=using)

    def open(self, run: Run) -> None:
        if self.archive is not None:
            self.archive.reap(storage())

    # One batch.

    def step(self, run: Run) -> Step:
        try:
            return self._batch(run)
        except ProgrammingError as error:
            if isinstance(error.__cause__, errors.UndefinedTable):
                raise self._outdated(
                    "it, a partition of it or what refers to it is gone"
                ) from error
            raise

    def _outdated(self, what: str) -> PlanOutdated:
        return PlanOutdated(
            f"{self.table.name} changed after this run was planned: {what}. "
            "What the run did is closed; start it again."
        )

    def _batch(self, run: Run) -> Step:
        began = time.monotonic()
        cursor = {**_BEGINNING, **run.cursor}
        self._still_as_planned()
        lock_against_ddl(self.table.name, using=self.using)
        if fingerprint(self.table.name, using=self.using) != self.parameters["fingerprint"]:
            raise self._outdated("its columns, or the foreign keys that point at it, are others")
        window = self._window(cursor)
        if window is None:
            return self._end_of_pass(run, cursor)
        count = self._delete(run, window, cursor, began)
        self._refuse_surge(run, count)
        self.seconds = time.monotonic() - began
        cursor["leaf"] = [window.leaf.schema, window.leaf.name]
        cursor["after"] = list(window.upto) if window.upto else None
        cursor["found"] += count
        cursor["skipped"] = cursor["skipped"] or self.skip_locked
        cursor["size"] = self.size.value
        return Step(cursor, count, finished=False)

    def _refuse_surge(self, run: Run, count: int) -> None:
        """The count that let it go by itself was an estimate, or rows were dated back since."""
        most = self.parameters.get("most_unapproved")
        if most is not None and run.decided_by_id is None and run.done + count > most:
            raise PlanOutdated(
                f"Over {most:,} rows are due, which is more than the {run.total:,} that were "
                "counted and than may go unapproved. What the run did is closed; start it again."
            )

    def _delete(self, run: Run, window: Window, cursor: dict[str, Any], began: float) -> int:
        free = vetoes.unprotected(
            vetoes.protections(self.table, using=self.using), table=self.table
        )
        session_pin(self.using)
        if self.archive is not None:
            self.attempt += 1
            file = self.archive.file(cursor["part"] + 1, run.fence, self.attempt)
            self.part = PartWriter(
                storage(),
                file,
                deadline=began + STEP_SECONDS,
                protection=self.archive.protection,
            )
        count = delete_window(
            self.due,
            window,
            free,
            skip_locked=self.skip_locked,
            sink=self.part.write if self.part else None,
            using=self.using,
        )
        if self.part is not None and self.archive is not None:
            if count:
                cursor["part"] += 1
                self.archive.add(
                    self.part, table=self.table, number=cursor["part"], window=window, rows=count
                )
            else:
                self.part.give_up()
        return count

    def _window(self, cursor: dict[str, Any]) -> Window | None:
        """The next window, on this leaf or a later one; None at the end of the pass."""
        at = TableName(*cursor["leaf"]) if cursor["leaf"] else None
        bound = expired(self.due) if self.walk.columns == (self.due.age_column,) else None
        for leaf in self.leaves:
            if at is not None and leaf < at:
                continue
            if not lock_leaf(leaf, self.table.name, using=self.using):
                continue
            window = next_window(
                table=self.table,
                leaf=leaf,
                walk=self.walk,
                after=cursor["after"] if leaf == at else None,
                size=self.size.value,
                within=bound,
                pages=self._pages(cursor),
                using=self.using,
            )
            if window is not None:
                return window
        return None

    def _pages(self, cursor: dict[str, Any]) -> tuple[int, int] | None:
        """Where the first pass looks. A later one looks everywhere: rows move."""
        pages = self.parameters.get("pages")
        return tuple(pages) if pages is not None and cursor["pass"] == 1 else None

    def _end_of_pass(self, run: Run, cursor: dict[str, Any]) -> Step:
        """Rows that moved while they were walked past, or were locked, are swept up."""
        look = cursor["found"] > 0 or cursor["skipped"] or self._pages(cursor) is not None
        missing = look or (run.total is not None and run.done < run.total)
        left = missing and self._anything_left(run)
        if not left or not look or cursor["pass"] >= MOST_PASSES:
            note = (
                "Some due rows may be left: they are locked, moved, or kept by a trigger. "
                "The next run tries again."
            )
            return Step(cursor, 0, finished=True, notes=(note,) if left else ())
        cursor.update(leaf=None, after=None, found=0, skipped=False)
        cursor["pass"] += 1
        return Step(cursor, 0, finished=False, notes=(f"Pass {cursor['pass']} begins.",))

    def _anything_left(self, run: Run) -> bool:
        if run.done == run.total and not run.plan["estimated"]:
            # As many as were counted: the table need not be read once more. Rows that became due
            # since, because somebody dated them back, are for the next run.
            return False
        free = vetoes.unprotected(
            vetoes.protections(self.table, using=self.using), table=self.table
        )
        query = sql.SQL("SELECT EXISTS (SELECT FROM {} t WHERE {})").format(
            self.table.name.sql, due(self.due, free, walking=False)
        )
        try:
            with transaction.atomic(using=self.using), connections[self.using].cursor() as cursor:
                cursor.execute(query)
                return bool(cursor.fetchone()[0])
        except OperationalError as error:
            if isinstance(error.__cause__, errors.QueryCanceled):
                # Too large to ask in one statement: another pass is the answer.
                return True
            raise

    def _still_as_planned(self) -> None:
        policy = RetentionPolicy.objects.filter(pk=self.parameters["policy"]).first()
        planned = self.parameters["policy_version"]
        if policy is None or not policy.enabled or policy.version != planned:
            raise PlanOutdated(
                f"Policy {self.parameters['policy_name']} was changed after this run was planned "
                f"(version {planned}). What it did is closed; start it again."
            )
        refuse_unsafe(policy, self.graph)

    # Around the batch.

    def committed(self) -> None:
        self.part = None
        self.skip_locked = False
        if self.seconds:
            self.size.took(self.seconds)

    def rolled_back(self, error: BaseException) -> None:
        if self.part is not None:
            self.part.give_up()
        cause = getattr(error, "__cause__", None)
        if isinstance(cause, errors.LockNotAvailable):
            self.skip_locked = True
        elif isinstance(error, StepStalled) or isinstance(cause, _TOO_LONG):
            self.size.shrink()

    def lost(self) -> None:
        if self.part is None:
            return
        if not ArchivePart.objects.filter(file=self.part.file).exists():
            self.part.give_up()
        give_up = time.monotonic() + MOST_HANGING
        while self.part.hanging and time.monotonic() < give_up:
            time.sleep(0.2)

    def recovered(self, error: BaseException, beat: Beat) -> None:
        """Waits, holding nothing, until a write that hangs has come back from the storage."""
        give_up = time.monotonic() + MOST_HANGING
        while self.part is not None and self.part.hanging:
            if time.monotonic() > give_up:
                raise StepStalled("The storage has not answered for five minutes.")
            time.sleep(0.2)
            beat()
        self.part = None

    def throttle(self) -> Throttle | None:
        return self.health.throttle(self.seconds)

    def verify(self, run: Run, beat: Beat) -> None:
        verify_parts(run, storage(), beat)

    def finish(self, run: Run, outcome: Outcome) -> dict[str, Any]:
        return purge_close(run=run, outcome=outcome)

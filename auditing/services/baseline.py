"""The baseline: an image of each row that was there before the audit began.

Invariants:
- A batch and the cursor that moves past it commit together; a row that has its image gets no other.
- An image has the number that was taken when the triggers stood: it comes before every change.
- No row is locked: a row that is changed meanwhile got its old image from that change.
- Whoever wrote before the number was taken has ended before the first image: else that would be of
  the row before his change, and come after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db import connections

from auditing.exceptions import NotTracked
from auditing.models import TrackedTable
from operations.batches.health import Health
from operations.batches.sizing import BatchSize
from operations.batches.walk import Walk, Window, next_window, window_predicate
from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table, TableName
from operations.models import Run
from operations.runs.kinds import Beat, Outcome, Plan, RunKind, Step, Throttle, register
from operations.selectors.runs import run_open_for
from operations.services.run_to_end import run_again, run_to_end
from operations.services.runs import run_create

AUDIT_BASELINE = "audit_baseline"
_PAGES = (64, 1, 4_096)
# Who has written versions holds this lock until the end of the transaction.
_WRITERS = """
SELECT DISTINCT l.virtualtransaction FROM pg_catalog.pg_locks l
JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = pg_catalog.current_database()
WHERE l.locktype = 'relation' AND l.granted AND l.mode = 'RowExclusiveLock'
  AND l.relation = %s::pg_catalog.regclass AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
"""
_WALK = Walk("ctid", (), "every row once")


@register
class AuditBaseline(RunKind):
    """Walks the heap of the table, leaf by leaf."""

    name = AUDIT_BASELINE
    title = "Baseline of an audit"
    unit: ClassVar[str] = "rows"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        first, least, most = _PAGES
        self.size = BatchSize(int(run.cursor.get("size", first)), least, most)
        self.seconds = 0.0
        self.health: Health | None = None
        self.writers: set[str] = set(run.cursor.get("writers") or ())

    @classmethod
    def plan(cls, *, parameters: dict[str, Any], using: str) -> Plan:
        tracked = TrackedTable.objects.get(pk=parameters["tracked"])
        if tracked.baseline_seq is None:
            raise NotTracked(f"{tracked} needs no baseline.")
        table = read_table(_current_name(tracked), using=using)
        rows = table.estimated_rows if table.estimated_rows >= 0 else None
        return Plan(
            subject=str(tracked.table),
            facts={"table": str(tracked.table), "rows_estimated": rows},
            total=rows or None,
            parameters={"tracked": tracked.pk, "seq": tracked.baseline_seq},
        )

    def prepare(self, beat: Beat) -> None:
        if self.health is None:
            tracked = TrackedTable.objects.get(pk=self.parameters["tracked"])
            self.health = Health([tracked.table, tracked.history], using=self.using)

    def throttle(self) -> Throttle | None:
        if self.writers and self.writers & self._writers():
            return Throttle(
                0.2, "a transaction that wrote before it began has not ended", again=True
            )
        self.writers = set()
        return self.health.throttle(self.seconds) if self.health else None

    def step(self, run: Run) -> Step:
        began = time.monotonic()
        tracked = TrackedTable.objects.get(pk=self.parameters["tracked"])
        cursor = {
            "writers": None,
            "leaf": 0,
            "after": None,
            "node": None,
            "written": 0,
            **run.cursor,
        }
        if tracked.untracked_at is not None or tracked.baseline_seq != self.parameters["seq"]:
            # Ended, or begun anew for changed columns: that baseline has a run of its own.
            return Step({**cursor, "superseded": True}, 0, finished=True)
        try:
            table = read_table(_current_name(tracked), using=self.using)
        except NoSuchTable:
            return Step({**cursor, "superseded": True}, 0, finished=True)
        if cursor["writers"] is None or self.writers:
            self.writers = self._writers() if cursor["writers"] is None else self.writers
            return Step({**cursor, "writers": sorted(self.writers)}, 0, finished=False)
        leaves = table.leaves or (table.name,)
        if cursor["leaf"] >= len(leaves):
            return Step(cursor, 0, finished=True)
        leaf = leaves[cursor["leaf"]]
        node = self._node(leaf)
        if cursor["node"] != node:
            # VACUUM FULL, CLUSTER and the like gave the rows other places.
            cursor.update(after=None, node=node)
        window = next_window(
            table=table,
            leaf=leaf,
            walk=_WALK,
            after=cursor["after"],
            size=self.size.value,
            using=self.using,
        )
        if window is None:
            cursor.update(leaf=cursor["leaf"] + 1, after=None, node=None)
            return Step(cursor, 0, finished=cursor["leaf"] >= len(leaves))
        written = self._write(tracked, table, leaf, window)
        cursor.update(
            after=list(window.upto) if window.upto else None,
            written=cursor["written"] + written,
            size=self.size.value,
        )
        if window.upto is None:
            cursor.update(leaf=cursor["leaf"] + 1, after=None, node=None)
        self.seconds = time.monotonic() - began
        return Step(cursor, written, finished=cursor["leaf"] >= len(leaves))

    def _writers(self) -> set[str]:
        tracked = TrackedTable.objects.get(pk=self.parameters["tracked"])
        with connections[self.using].cursor() as cursor:
            cursor.execute(_WRITERS, [str(tracked.history)])
            return {name for (name,) in cursor.fetchall()}

    def _node(self, leaf: TableName) -> int:
        with connections[self.using].cursor() as cursor:
            cursor.execute(
                "SELECT pg_catalog.pg_relation_filenode(%s::pg_catalog.regclass)",
                [str(leaf)],
            )
            return int(cursor.fetchone()[0])

    def _write(self, tracked: TrackedTable, table: Table, leaf: TableName, window: Window) -> int:
        with connections[self.using].cursor() as cursor:
            predicate = window_predicate(window, table, alias="o").as_string(cursor.connection)
            cursor.execute(
                "SELECT custody.audit_baseline(%s, %s::pg_catalog.regclass, %s)",
                [tracked.pk, str(leaf), predicate],
            )
            return int(cursor.fetchone()[0])

    def committed(self) -> None:
        self.size.took(self.seconds)

    def rolled_back(self, error: BaseException) -> None:
        self.size.shrink()

    def finish(self, run: Run, outcome: Outcome) -> dict[str, Any]:
        written = run.cursor.get("written", 0)
        if outcome == "complete" and not run.cursor.get("superseded"):
            done = TrackedTable.objects.filter(
                pk=self.parameters["tracked"], baseline_seq=self.parameters["seq"]
            ).update(baseline_seq=None)
            if done:
                with connections[self.using].cursor() as cursor:
                    cursor.execute("SELECT custody.capture_make(%s)", [self.parameters["tracked"]])
        return {"rows": written}


def baseline_start(tracked: TrackedTable, *, requester: User, reason: str = "") -> Run | None:
    """A run that takes the images; None when the table needs none.

    Raises:
        RunBusy: a baseline of the table is under way.
    """
    tracked.refresh_from_db()
    if tracked.baseline_seq is None:
        return None
    return run_create(
        kind=AUDIT_BASELINE,
        parameters={"tracked": tracked.pk},
        requester=requester,
        reason=reason,
        using=tracked.database,
    )


def _current_name(tracked: TrackedTable) -> TableName:
    with connections[tracked.database].cursor() as cursor:
        cursor.execute(
            "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c "
            "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.oid = %s::pg_catalog.oid",
            [tracked.table_oid],
        )
        row = cursor.fetchone()
    if row is None:
        raise NoSuchTable(tracked.schema_name, tracked.table_name)
    return TableName(*row)


def baseline_run(
    tracked: TrackedTable,
    *,
    requester: User,
    reason: str = "",
    on_progress: Callable[[Run], None] | None = None,
) -> Run | None:
    """Takes the images in this process, going on where an earlier run was; None without need.

    Raises:
        RunBusy: a living worker takes them.
    """
    open_run = run_open_for(kind=AUDIT_BASELINE, subject=str(tracked.table))
    if open_run is not None:
        run = run_again(run=open_run, requester=requester, reason=reason)
    else:
        started = baseline_start(tracked, requester=requester, reason=reason)
        if started is None:
            return None
        run = started
    return run_to_end(run=run, on_progress=on_progress)

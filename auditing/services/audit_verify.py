"""Verification of the log: what was sealed is still what it was, and nothing else is there.

Invariants:
- It changes nothing but its own findings; a verification that is killed goes on where it was.
- What is found wrong is wrong in several looks, one after the other: writers, the sealer, purges
  and redactions go on meanwhile and are no findings.
- All numbers are looked at, from the first to the last, whether blocks speak of them or not: a row
  that was added anywhere is found.

The work is done before each step, without locks that anybody waits for; the step keeps what was
found.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime
from multiprocessing import current_process, get_context
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db import connections
from django.db.models import Count, Min, Sum

from auditing.models import SealBlock, VerifyFinding
from auditing.seals.found import Finding, Found
from auditing.selectors.tracked import tracked_get
from auditing.services.cluster_adopt import cluster_adopt
from auditing.services.verify_alert import verify_alert
from auditing.services.verify_process import process_begin, process_do
from auditing.services.verify_work import Work, work_do, works
from operations.models import Run
from operations.runs.kinds import Beat, Outcome, Plan, RunKind, Step, register
from operations.services.runs import run_create

AUDIT_VERIFY = "audit_verify"

SMALL = 200_000
"""Leaves up to which one process does it all: others take a second to start."""
PROCESSES = 2
SECONDS = 0.5
"""For which pieces are put together into one step: most are of a moment."""
_COUNTS = ("checked", "pending", "retired", "unproved")
Piece = tuple[Work, Future[Found] | None]


@register
class AuditVerify(RunKind):
    """A piece of work a step: some blocks, a stretch of rows, a slice of a table."""

    name = AUDIT_VERIFY
    title = "Verification of the audit log"
    unit: ClassVar[str] = "rows"
    exclusive = False

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._works: Iterator[Work] | None = None
        self._ahead: deque[Piece] = deque()
        self._pool: ProcessPoolExecutor | None = None
        self._last: dict[str, Any] | None = run.cursor.get("work")
        self._done: list[tuple[Work, Found]] = []
        self._took = 0.0

    @classmethod
    def plan(cls, *, parameters: dict[str, Any], using: str) -> Plan:
        table, since = parameters.get("table"), parameters.get("since")
        tracked = tracked_get(table, using=using) if table else None
        blocks = SealBlock.objects.using(using)
        if since:
            blocks = blocks.filter(made_at__gte=since)
        found = blocks.aggregate(first=Min("number"), leaves=Sum("leaves"), blocks=Count("number"))
        newest = SealBlock.objects.using(using).order_by("number").last()
        # Nothing was sealed since: only what is not in a block is left to look at.
        first = found["first"] or (newest.number + 1 if newest and since else 0)
        return Plan(
            subject=str(tracked) if tracked else "the audit log",
            facts={
                "table": str(tracked) if tracked else "all",
                "since": since or "the beginning",
                "blocks": found["blocks"],
                "rows_sealed": found["leaves"] or 0,
            },
            total=None,
            parameters={
                "first": first,
                "tracked": tracked.pk if tracked else None,
                "leaves": found["leaves"] or 0,
            },
        )

    def prepare(self, beat: Beat) -> None:
        """Does the next pieces, and has others begun."""
        if self._done:
            return
        began = time.monotonic()
        self._begin()
        while self._ahead and (not self._done or time.monotonic() - began < SECONDS):
            work, future = self._ahead[0]
            # Should it fail and be tried again, then here.
            self._ahead[0] = (work, None)
            found = self._result(future) or work_do(work, self.using)
            self._ahead.popleft()
            self._done.append((work, found))
            self._begin()
            beat()
        self._took = time.monotonic() - began

    def _result(self, future: Future[Found] | None) -> Found | None:
        """Of another process; None: there is none, or it was killed."""
        try:
            return future.result() if future else None
        except (BrokenProcessPool, CancelledError):
            self._ahead = deque((work, None) for work, _ in self._ahead)
            self._close()
            return None

    def _begin(self) -> None:
        if self._works is None:
            self._works = works(
                first=self.parameters["first"],
                tracked=self.parameters["tracked"],
                last=self._last,
                using=self.using,
            )
            self._pool = self._processes()
        while len(self._ahead) < (2 * PROCESSES if self._pool else 1):
            work = next(self._works, None)
            if work is None:
                return
            future = self._pool.submit(process_do, work, self.using) if self._pool else None
            self._ahead.append((work, future))

    def _processes(self) -> ProcessPoolExecutor | None:
        """Workers of Celery may have no children of their own."""
        if self.parameters["leaves"] <= SMALL or current_process().daemon:
            return None
        if (os.cpu_count() or 1) < PROCESSES:
            return None
        settings = connections[self.using].settings_dict
        database = {name: settings[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}
        return ProcessPoolExecutor(
            PROCESSES,
            mp_context=get_context("spawn"),
            initializer=process_begin,
            initargs=(database, self.using),
        )

    def step(self, run: Run) -> Step:
        if not self._done:
            return Step(run.cursor, 0, finished=True)
        founds = [found for _, found in self._done]
        VerifyFinding.objects.bulk_create(
            _row(run, each) for found in founds for each in found.findings
        )
        cursor: dict[str, Any] = {
            name: run.cursor.get(name, 0) + sum(getattr(found, name) for found in founds)
            for name in _COUNTS
        }
        cursor["remarks"] = [
            *run.cursor.get("remarks", []),
            *(remark for found in founds for remark in found.remarks),
        ]
        last, _ = self._done[-1]
        # The pieces were done before the step, whose time alone the engine counts.
        run.active_seconds += self._took
        checked = sum(found.checked for found in founds)
        return Step({**cursor, "work": last.to_json()}, checked, finished=False)

    def committed(self) -> None:
        self._done = []

    def finish(self, run: Run, outcome: Outcome) -> dict[str, Any]:
        self._close()
        findings = VerifyFinding.objects.filter(run_id=run.pk).count()
        counts = {name: run.cursor.get(name, 0) for name in _COUNTS}
        verify_alert(run, whole=outcome == "complete")
        return {
            "findings": findings,
            "blocks": run.plan["blocks"],
            "remarks": run.cursor.get("remarks", []),
            **counts,
        }

    def lost(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _row(run: Run, each: Finding) -> VerifyFinding:
    return VerifyFinding(
        run_id=run.pk,
        kind=each.kind,
        tracked_id=each.tracked,
        source=each.source,
        record_id=each.record_id,
        number=each.number,
        block=each.block,
        text=each.text,
    )


def audit_verify_start(
    *,
    requester: User,
    reason: str = "",
    since: datetime | None = None,
    table: str | None = None,
    using: str = "default",
) -> Run:
    """A run that verifies the log, or what was sealed since a time, or one table's part.

    In a database that was restored the audited tables are found again first.

    Raises:
        NotTracked: the table never was audited.
        NoSuchTable: there is none of this name.
    """
    cluster_adopt(using=using)
    return run_create(
        kind=AUDIT_VERIFY,
        parameters={"since": since.isoformat() if since else None, "table": table},
        requester=requester,
        reason=reason,
        using=using,
    )

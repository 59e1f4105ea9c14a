"""Restoring: the rows of an archive go back where they are missing.

Invariants:
- What is live is never overwritten: a row that stands in the way is reported.
- A slice and the cursor that moves past it commit together, so a restore that was killed goes on
  where it was, and a row is never put back twice.
- Reading a part holds no lock on the governed table; the transaction that inserts is a short one.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from django.db import connections
from psycopg import errors

from operations.batches.health import Health
from operations.batches.sizing import BatchSize
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
from operations.services.run_execute import STATEMENT_LIMIT
from retention.exceptions import RestoreRefused
from retention.models import Archive, ArchivePart
from retention.selectors.restore_choice import RestoreChoice
from retention.services.layout import fingerprint
from retention.services.restore_family import Family, family
from retention.services.restore_plan import restore_plan
from retention.services.restore_reasons import RowsRefused
from retention.services.restore_recovery import recovery_make
from retention.services.restore_slice import Tally
from retention.services.restore_verdicts import Lines
from retention.services.restore_work import MOST_NAMED, RestoreWork

AGAIN_SECONDS = 0.5
"""A step takes further slices up to here: when the slices are small, because of a bad row."""
_ROWS = (2_000, 1, 100_000)
_WAITED = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)
"""Failures of a step that a smaller one would meet as well."""

_START: dict[str, Any] = {
    "member": 0,
    "part": None,
    "line": 0,
    "restored": 0,
    "already_there": 0,
    "changed_by_trigger": 0,
    "conflict_count": 0,
    "conflicts": [],
}


@register
class ArchiveRestore(RunKind):
    """Takes the archives, parents first; of each the parts from the last to the first, and of each
    of these the lines in their order."""

    name = "archive_restore"
    title = "Restore of an archive"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.cursor: dict[str, Any] = {**_START, **run.cursor}
        self.next_cursor = self.cursor
        first, least, most = _ROWS
        self.size = BatchSize(int(run.cursor.get("size", first)), least, most)
        self.seconds = 0.0
        self.family: Family | None = None
        self.work: RestoreWork | None = None
        self.member = -1
        self.health: Health | None = None

    @classmethod
    def plan(cls, *, parameters: dict[str, Any], using: str) -> Plan:
        archive = Archive.objects.select_related("policy", "run").get(pk=parameters["archive"])
        choice = RestoreChoice.from_json(parameters["choice"])
        return restore_plan(archive=archive, choice=choice, using=using)

    # One step.

    def prepare(self, beat: Beat) -> None:
        if self.family is None:
            self.family = self._planned_family()
        if self.family.choice.into_schema:
            for archive in self.family.archives:
                recovery_make(archive, self.family.choice.into_schema, using=self.using)
        self.family.gather(beat)
        work = self._member_work(self.family, self.cursor)
        part = self._part(work, self.cursor)
        if part is not None:
            work.prepare(part, beat)

    def step(self, run: Run) -> Step:
        began = time.monotonic()
        assert self.work is not None
        assert self.family is not None
        cursor = {**self.cursor, "conflicts": list(self.cursor["conflicts"])}
        part = self._part(self.work, cursor)
        if part is None:
            return self._next_member(self.family, cursor)
        self.work.lock_against_ddl()
        table = self.work.target.table.name
        planned = self.parameters["fingerprints"][cursor["member"]]
        if planned and fingerprint(table, using=self.using) != planned:
            raise _outdated(f"The columns of {table} changed after this run was planned.")
        self.work.pin()
        if part.number != cursor["part"]:
            # Parts in between hold none of the chosen rows.
            cursor.update(part=part.number, line=0)
        before = cursor["line"]
        self._put(self.work, part, cursor, began)
        self.seconds = time.monotonic() - began
        last = cursor["member"] + 1 == len(self.family.archives)
        finished = last and self._part(self.work, cursor) is None
        return Step(self._moved_to(cursor), cursor["line"] - before, finished=finished)

    def _next_member(self, family: Family, cursor: dict[str, Any]) -> Step:
        cursor.update(member=cursor["member"] + 1, part=None, line=0)
        finished = cursor["member"] >= len(family.archives)
        return Step(self._moved_to(cursor), 0, finished=finished)

    def _moved_to(self, cursor: dict[str, Any]) -> dict[str, Any]:
        cursor["size"] = self.size.value
        self.next_cursor = cursor
        return cursor

    def _put(
        self, work: RestoreWork, part: ArchivePart, cursor: dict[str, Any], began: float
    ) -> None:
        rows = work.rows(part, lambda: self._limit(began))
        while cursor["line"] < part.rows:
            slice_began = time.monotonic()
            lines = Lines(cursor["line"], min(cursor["line"] + self.size.value, part.rows))
            try:
                tally = rows.put(lines, most=MOST_NAMED - len(cursor["conflicts"]))
            except RowsRefused:
                # One of them cannot go in; the others must not wait for it.
                self.size.shrink()
            else:
                _count(cursor, part, tally)
                cursor["line"] = lines.upto
                if len(lines) == self.size.value:
                    self.size.took(time.monotonic() - slice_began)
            if time.monotonic() - began > AGAIN_SECONDS:
                return

    def _limit(self, began: float) -> None:
        """What is too much is to be cancelled. The limit on the transaction costs the session."""
        left = max(STATEMENT_LIMIT - (time.monotonic() - began), 0.05)
        with connections[self.using].cursor() as cursor:
            cursor.execute(
                "SELECT pg_catalog.set_config('statement_timeout', %s, true)",
                [f"{int(left * 1000)}ms"],
            )

    def _planned_family(self) -> Family:
        archive = Archive.objects.select_related("policy", "run").get(pk=self.parameters["archive"])
        choice = RestoreChoice.from_json(self.parameters["choice"])
        try:
            found = family(archive, choice, using=self.using)
        except RestoreRefused as error:
            raise _outdated(str(error)) from error
        if [each.pk for each in found.archives] != self.parameters["archives"]:
            raise _outdated("The archives that belong together are others than were planned.")
        return found

    def _member_work(self, family: Family, cursor: dict[str, Any]) -> RestoreWork:
        member = min(cursor["member"], len(family.archives) - 1)
        if self.work is not None and self.member == member:
            return self.work
        if self.work is not None:
            self.work.clear()
        try:
            work = family.work(member)
        except RestoreRefused as error:
            raise _outdated(str(error)) from error
        table = work.target.table
        self.health = Health(sorted(table.leaves or (table.name,)), using=self.using)
        self.work, self.member = work, member
        return work

    def _part(self, work: RestoreWork, cursor: dict[str, Any]) -> ArchivePart | None:
        """The part that is to go on with; None after the last."""
        if cursor["member"] != self.member:
            return None
        for part in work.parts:
            if cursor["part"] is None or part.number < cursor["part"]:
                return part
            if part.number == cursor["part"] and cursor["line"] < part.rows:
                return part
        return None

    # Around the step.

    def committed(self) -> None:
        self.cursor = self.next_cursor

    def rolled_back(self, error: BaseException) -> None:
        self.next_cursor = self.cursor
        if not isinstance(error.__cause__, _WAITED):
            self.size.shrink()

    def throttle(self) -> Throttle | None:
        return self.health.throttle(self.seconds) if self.health else None

    def finish(self, run: Run, outcome: Outcome) -> dict[str, Any]:
        if self.work is not None:
            self.work.clear()
        if self.family is not None:
            self.family.clear()
        return restored_so_far(run)


def restored_so_far(run: Run) -> dict[str, Any]:
    """The counts of a restore, and the first of its conflicts: also of one under way."""
    found = {**_START, **run.cursor}
    names = ("restored", "already_there", "changed_by_trigger", "conflict_count", "conflicts")
    return {name: found[name] for name in names}


def _count(cursor: dict[str, Any], part: ArchivePart, tally: Tally) -> None:
    for name in ("restored", "already_there", "changed_by_trigger", "conflict_count"):
        cursor[name] += getattr(tally, name)
    place: dict[str, Any] = {"part": part.number}
    if cursor["member"]:
        place["archive"] = part.archive.name
    cursor["conflicts"] += [{**place, **asdict(each)} for each in tally.conflicts]


def _outdated(what: str) -> PlanOutdated:
    return PlanOutdated(f"{what} What was put back stays; start the restore again.")

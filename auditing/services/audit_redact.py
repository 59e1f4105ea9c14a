"""Redaction: values are taken out of the history for ever, and the log still verifies.

Invariants:
- Another person approves, always; what is approved are the records, the columns and no others.
- A veto wins: it is asked in every step, in the transaction that destroys.
- Before a value goes its row is compared with its leaf, and what is not sealed yet is sealed first:
  a redaction never hides a change that somebody made behind the console's back.
- Killed between any two steps, the run goes on: what has been redacted has no value any more.

What is written while the run works, by transactions that end after its last look, is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.contrib.auth.models import User
from django.db import connections

from auditing.exceptions import AnchorUnusable, SealBroken
from auditing.models import SealPosition, TrackedTable
from auditing.redactions import places
from auditing.selectors.images import shape_of
from auditing.selectors.redactable import Pick, Redactable, Stretch
from auditing.services.audit_seal import audit_seal
from auditing.services.redact_close import redact_close
from auditing.services.redact_find import Group, redact_find
from auditing.services.redact_plan import Wanted, redact_plan, redact_plan_lines
from auditing.services.redact_space import redact_space
from auditing.services.redact_step import redact_group
from operations.batches.sizing import BatchSize
from operations.exceptions import UsageError
from operations.models import Run
from operations.runs.kinds import Beat, Outcome, Plan, RunKind, Step, Throttle, register
from operations.selectors.runs import run_open_for
from operations.services.run_to_end import run_again, run_to_end
from operations.services.runs import run_create

AUDIT_REDACT = "audit_redact"
PASSES = 5
"""Looks at versions that were not sealed yet; what is written after the last is left."""
SLOTS = 1 << 20
"""Salts that one step writes at most, 16 bytes each, unless one section has more."""
_SIZE = (500, 20, 8_000)
"""Versions of a step: first, least, most."""
_START: dict[str, Any] = {
    "pass": 1,
    "values": 0,
    "partitions": [],
    "left": 0,
    "history": False,
}
"""`history`: it is done, and what is kept elsewhere is next."""


@register
class AuditRedact(RunKind):
    """Takes the versions section by section, as the seals have them."""

    name = AUDIT_REDACT
    title = "Redaction"
    unit = "versions"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.tracked = TrackedTable.objects.get(pk=run.parameters["tracked"])
        self.size = BatchSize(*_SIZE, target=1.0)
        self.groups: list[Group] | None = None
        self.unsealed: list[Pick] = []
        self.rest: list[Group] = []
        self.columns: tuple[Redactable, ...] = ()
        self.space: dict[str, Any] = {}
        self.history_done = bool(run.cursor.get("history"))
        self.next_done = self.history_done
        self.seconds = 0.0

    @classmethod
    def plan(cls, *, parameters: dict[str, Any], using: str) -> Plan:
        return redact_plan(
            Wanted(
                table=parameters["table"],
                columns=tuple(parameters["columns"]),
                keys=tuple(parameters["keys"]),
                where=parameters["where"],
                vacuum_full=parameters["vacuum_full"],
            ),
            using=using,
        )

    @classmethod
    def plan_lines(cls, plan: dict[str, Any]) -> list[str]:
        return redact_plan_lines(plan)

    def prepare(self, beat: Beat) -> None:
        if self.groups is not None:
            return
        shape = shape_of(self.tracked)
        found = [shape.column(attnum) for attnum in self.parameters["columns"]]
        self.columns = tuple(Redactable(column) for column in found if column is not None)
        stretches = [Stretch(*each) for each in self.parameters["stretches"]]
        if self.history_done:
            self.groups = []
            for place in places():
                place.redact(
                    self.tracked,
                    self.columns,
                    stretches,
                    run_id=self.run_id,
                    beat=beat,
                    using=self.using,
                )
            return
        with suppress(AnchorUnusable):
            audit_seal(using=self.using)
        work = redact_find(
            self.tracked,
            shape,
            self.columns,
            stretches,
            beat=beat,
            using=self.using,
        )
        self.groups, self.unsealed = work.groups, work.unsealed
        self._refuse_added()

    def _refuse_added(self) -> None:
        """A version whose transaction was sealed, and that is in no block, came there later."""
        if not self.unsealed:
            return
        position = SealPosition.objects.using(self.using).get()
        with connections[self.using].cursor() as cursor:
            cursor.execute(
                "SELECT x FROM unnest(%s::bigint[]) AS x"
                " WHERE pg_visible_in_snapshot(x::text::xid8, %s::pg_snapshot) LIMIT 1",
                [[pick.xid for pick in self.unsealed], position.snapshot],
            )
            found = cursor.fetchone()
        if found:
            added = next(pick.seq for pick in self.unsealed if pick.xid == found[0])
            raise SealBroken(
                f"Version {added} of {self.tracked} is in no block, though its transaction was "
                "sealed: somebody added it behind the console's back. Look into it with "
                "manage.py audit_verify; what was redacted before stays so."
            )

    def throttle(self) -> Throttle | None:
        return (
            Throttle(min(self.seconds, 1.0), "so that others can write")
            if self.seconds > 1
            else None
        )

    def step(self, run: Run) -> Step:
        began = time.monotonic()
        cursor = {**_START, **run.cursor}
        if cursor["history"]:
            return Step(cursor, 0, finished=True)
        taken, self.rest = self._bite()
        versions = 0
        partitions = set(cursor["partitions"])
        for group in taken:
            done = redact_group(
                self.tracked, self.columns, group, run_id=self.run_id, using=self.using
            )
            versions += done.versions
            cursor["values"] += done.values
            partitions |= {pick.partition for pick in group.picks}
        cursor["partitions"] = sorted(partitions)
        if not self.rest:
            cursor["history"] = not self.unsealed or cursor["pass"] >= PASSES
            cursor["left"] = len(self.unsealed)
            cursor["pass"] += 1
        self.next_done = cursor["history"]
        self.seconds = time.monotonic() - began
        return Step(cursor, versions, finished=False)

    def _bite(self) -> tuple[list[Group], list[Group]]:
        """What one step takes, and what is left."""
        rest = list(self.groups or [])
        taken: list[Group] = []
        versions = slots = 0
        while rest and versions < self.size.value and (not taken or slots < SLOTS):
            group = rest.pop(0)
            room = self.size.value - versions
            if len(group.picks) > room:
                rest.insert(0, Group(group.sections, group.slots, group.picks[room:]))
                group = Group(group.sections, group.slots, group.picks[:room])
            taken.append(group)
            versions += len(group.picks)
            slots += group.slots
        return taken, rest

    def committed(self) -> None:
        self.size.took(self.seconds)
        self.history_done = self.next_done
        # What was not sealed yet is looked for again when all else is done.
        self.groups = self.rest or None

    def rolled_back(self, error: BaseException) -> None:
        self.size.shrink()
        self.groups, self.next_done = None, self.history_done

    def verify(self, run: Run, beat: Beat) -> None:
        """Reads nothing back: frees the place of the old rows, and their statistics."""
        cursor = {**_START, **run.cursor}
        space = redact_space(
            self.tracked,
            cursor["partitions"],
            full=self.parameters["vacuum_full"],
            beat=beat,
            using=self.using,
        )
        if cursor["left"]:
            space.left.append(
                f"{cursor['left']:,} versions were written meanwhile: redact once more."
            )
        self.space = space.to_json()

    def finish(self, run: Run, outcome: Outcome) -> dict[str, Any]:
        return redact_close(
            run=run, outcome=outcome, columns=list(run.plan["columns"]), space=self.space
        )


def redact_request(
    *, wanted: Wanted, requester: User, reason: str, using: str = "default"
) -> Run | None:
    """The open redaction of the same, resumed when it had failed or was paused; else a new run.

    None: no version has a value in these columns, so there is nothing to approve.

    Raises:
        UsageError: no reason.
        RunBusy: another redaction of the table is open.
        Whatever `redact_plan` raises.
    """
    if not reason.strip():
        raise UsageError("Say why the values have to go: --reason TEXT. It stays in the log.")
    plan = redact_plan(wanted, using=using)
    run = run_open_for(kind=AUDIT_REDACT, subject=plan.subject)
    if run is not None and run.parameters == plan.parameters:
        return run_again(run=run, requester=requester, reason=reason)
    if not plan.total and not plan.facts["elsewhere"]:
        return None
    return run_create(
        kind=AUDIT_REDACT,
        parameters=plan.parameters,
        requester=requester,
        reason=reason,
        using=using,
        plan=plan,
    )


def audit_redact(
    *,
    wanted: Wanted,
    requester: User,
    reason: str,
    wait: bool = False,
    on_progress: Callable[[Run], None] | None = None,
    using: str = "default",
) -> Run | None:
    """Asks for a redaction, and does it in this process once another person has approved it.

    Returns the run in the state it was left in; None when there is nothing to redact.

    Raises:
        RunBusy: a living worker does it, or another redaction of the table is open.
        Whatever `redact_request` raises.
    """
    run = redact_request(wanted=wanted, requester=requester, reason=reason, using=using)
    return run_to_end(run=run, wait=wait, on_progress=on_progress) if run else None

"""Reverting a statement or a transaction: each of its rows is again what it was before.

Invariants:
- Nothing that was changed since is overwritten: such a row is reported. What is looked at is asked
  again by the statement that writes, so a change in between counts too.
- A stretch of rows and the cursor that moves past it commit together, in a step of at most two
  seconds; a revert that was killed goes on where it was, and a row is put back once.
- The last change is undone first, rows within a statement too: parents come back before children.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User

from auditing.models import ChangeStatement
from auditing.selectors.queries import PRINTED
from auditing.selectors.restorable import Restorable
from auditing.services.record_restore import reason_wanted
from auditing.services.revert_plan import Chosen, revert_plan, statements_chosen, targets_of
from auditing.services.revert_stretch import BY_INDEX
from auditing.services.revert_walk import RevertWalk, cursor_copy
from operations.batches.health import Health
from operations.batches.sizing import BatchSize
from operations.models import Run
from operations.runs.kinds import Beat, Outcome, Plan, RunKind, Step, Throttle, register
from operations.selectors.runs import run_open_for
from operations.services.run_to_end import run_again, run_to_end
from operations.services.runs import run_create
from operations.session import set_local

CHANGE_REVERT = "change_revert"
AGAIN_SECONDS = 0.5
"""A step takes further stretches up to here."""
STRETCH_SECONDS = 0.4
"""What one stretch is to take: with those before it, it must fit into its step."""
_SIZE = (1_000, 1, 20_000)


@register
class ChangeRevert(RunKind):
    """Takes the statements from the last to the first, and of each the rows from the last down."""

    name = CHANGE_REVERT
    title = "Revert of changes"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        first, least, most = _SIZE
        size = int(run.cursor.get("size", first))
        self.size = BatchSize(size, least, most, target=STRETCH_SECONDS)
        self.seconds = 0.0
        self.statements: list[ChangeStatement] = []
        self.targets: dict[int, Restorable] = {}
        self.health: Health | None = None

    @classmethod
    def plan(cls, *, parameters: dict[str, Any], using: str) -> Plan:
        chosen = Chosen(parameters["statement"], parameters["transaction"])
        return revert_plan(chosen, using=using)

    def prepare(self, beat: Beat) -> None:
        chosen = Chosen(self.parameters["statement"], self.parameters["transaction"])
        if not self.statements:
            planned = set(self.parameters["statements"])
            found = statements_chosen(chosen, using=self.using)
            self.statements = [each for each in found if each.pk in planned]
        # Each time: the columns may have changed since.
        self.targets = targets_of(self.statements)
        if self.health is None:
            tables = [target.table.name for target in self.targets.values()]
            self.health = Health(tables, using=self.using)

    def throttle(self) -> Throttle | None:
        return self.health.throttle(self.seconds) if self.health else None

    def step(self, run: Run) -> Step:
        began = time.monotonic()
        cursor = cursor_copy(run.cursor)
        set_local({**PRINTED, **BY_INDEX}, using=self.using)
        before = _done(cursor)
        walk = RevertWalk(self.statements, self.targets, size=self.size, using=self.using)
        finished = walk.go(cursor, lambda: time.monotonic() - began > AGAIN_SECONDS)
        cursor["size"] = self.size.value
        self.seconds = time.monotonic() - began
        return Step(cursor, _done(cursor) - before, finished=finished)

    def rolled_back(self, error: BaseException) -> None:
        self.size.shrink()

    def finish(self, run: Run, outcome: Outcome) -> dict[str, Any]:
        return reverted_so_far(run)


def _done(cursor: dict[str, Any]) -> int:
    return int(cursor["reverted"] + cursor["already"] + cursor["conflict_count"])


def reverted_so_far(run: Run) -> dict[str, Any]:
    """The counts of a revert, and the first of its conflicts: also of one under way."""
    found = cursor_copy(run.cursor)
    return {name: found[name] for name in ("reverted", "already", "conflict_count", "conflicts")}


def revert_request(*, chosen: Chosen, requester: User, reason: str = "", using: str) -> Run:
    """The open revert of the same, resumed when it had failed or was paused; else a new run.

    Raises:
        NoSuchChange, RestoreRefused: see `revert_plan`.
    """
    for statement in statements_chosen(chosen, using=using):
        reason_wanted(statement.tracked, reason)
    run = run_open_for(kind=CHANGE_REVERT, subject=str(chosen))
    if run is not None:
        return run_again(run=run, requester=requester, reason=reason)
    return run_create(
        kind=CHANGE_REVERT,
        parameters={"statement": chosen.statement, "transaction": chosen.transaction},
        requester=requester,
        reason=reason or f"Revert of {chosen}",
        using=using,
    )


def change_revert(
    *,
    chosen: Chosen,
    requester: User,
    reason: str = "",
    wait: bool = False,
    on_progress: Callable[[Run], None] | None = None,
    using: str = "default",
) -> Run:
    """Reverts in this process, to the end. Returns the run in the state it was left in.

    A revert of more than `ALONE` rows is left for another person's approval.

    Raises:
        RunBusy: a living worker does it.
        NoSuchChange, RestoreRefused: see `revert_plan`.
    """
    run = revert_request(chosen=chosen, requester=requester, reason=reason, using=using)
    return run_to_end(run=run, wait=wait, on_progress=on_progress)

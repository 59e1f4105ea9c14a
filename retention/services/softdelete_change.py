"""Enabling, changing and disabling soft delete as a run: what the console's pages start.

Each step of the run is one step of the commands' own services, so it can be killed, paused and gone
on with, and nobody waits in front of a page for an index.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, ClassVar

from django.contrib.auth.models import User

from operations.models import Run
from operations.runs.exceptions import RunBusy
from operations.runs.kinds import Beat, Outcome, Plan, RunKind, StepStalled, register
from operations.runs.kinds import Step as RunStep
from operations.runs.states import OWNED, RunState
from operations.services.runs import run_create, run_log
from retention.exceptions import SoftDeleteBusy, SoftDeleteRefused
from retention.models import SoftDeleteTable
from retention.selectors.softdelete_plan import EnableAsked, EnablePlan, softdelete_plan
from retention.selectors.softdelete_steps import Step
from retention.selectors.softdelete_undo import DisablePlan, softdelete_undo
from retention.services.softdelete_disable import softdelete_disable
from retention.services.softdelete_enable import softdelete_enable

SOFTDELETE_CHANGE = "softdelete_change"


class _OneStepDone(Exception):
    """The next step belongs to the run's next one."""


@register
class SoftDeleteChange(RunKind):
    """`parameters`: `table`; `asked`, the operator's choices as JSON, or None to disable; `entry`,
    the table's number in the registry, of one that is disabled."""

    name: ClassVar[str] = SOFTDELETE_CHANGE
    title: ClassVar[str] = "Change of soft delete"
    unit: ClassVar[str] = "steps"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.run, self.requester, self.reason = run, run.requester, run.reason
        self.done = 0
        """Steps since the last commit of the run's cursor."""
        self.through = False
        self.follows: bool | None = None

    @classmethod
    def plan(cls, *, parameters: dict[str, Any], using: str) -> Plan:
        asked = asked_of(parameters["asked"])
        table = parameters["table"]
        if asked is None:
            return change_plan(softdelete_undo(table, using=using), None)
        return change_plan(softdelete_plan(table, asked=asked, using=using), asked)

    def prepare(self, beat: Beat) -> None:
        """One step of the service. Outside of transactions, since an index is built beside writers;
        each step that takes locks is a short transaction of its own.

        Guards and views of all tables are made in one go, and so is all of disabling: those steps
        are short, and planned anew each time until the last of them is done."""
        if self.through:
            return
        began = 0

        def tell(step: Step) -> None:
            nonlocal began
            beat()
            if began and step.terms is None and self.parameters["asked"] is not None:
                raise _OneStepDone
            began += 1
            run_log(self.run, f"{step.table}: {step.what}.")

        try:
            self._go_on(tell)
            self.through = True
        except _OneStepDone:
            pass
        except SoftDeleteBusy as error:
            raise StepStalled(str(error)) from error
        self.done += began

    def _go_on(self, tell: Callable[[Step], None]) -> None:
        table, asked = self.parameters["table"], asked_of(self.parameters["asked"])
        if asked is not None:
            done = softdelete_enable(
                table,
                asked=asked,
                actor=self.requester,
                reason=self.reason,
                tell=tell,
                using=self.using,
            )
            self.follows = done.follows
            return
        entry = SoftDeleteTable.objects.using(self.using).get(pk=self.parameters["entry"])
        if entry.disabled_at is None:
            softdelete_disable(table, tell=tell, using=self.using)

    def step(self, run: Run) -> RunStep:
        cursor = {**run.cursor, "follows": self.follows}
        return RunStep(cursor, self.done, finished=self.through)

    def committed(self) -> None:
        self.done = 0

    def finish(self, run: Run, outcome: Outcome) -> dict[str, Any]:
        result: dict[str, Any] = {"tables": run.plan["tables"]}
        if outcome == "complete" and run.cursor.get("follows") is False:
            result["follows"] = False
        return result


def change_plan(plan: EnablePlan | DisablePlan, asked: EnableAsked | None) -> Plan:
    """Of a plan that was read already.

    Raises:
        SoftDeleteRefused: something is in the way; the text has all of it.
    """
    if plan.obstacles:
        raise SoftDeleteRefused("\n".join(plan.obstacles))
    if isinstance(plan, EnablePlan):
        tables = [str(each.table.name) for each in plan.tables]
        entry = None
    else:
        tables = [str(name) for name in plan.names]
        entry = plan.rows[0].pk
    return Plan(
        subject=str(plan.name),
        facts={
            "table": str(plan.name),
            "change": "disable" if asked is None else "enable",
            "tables": tables,
            "steps": [f"{step.table}: {step.what}" for step in plan.steps],
            "cautions": list(plan.cautions),
        },
        total=len(plan.steps) or None,
        parameters={
            "table": str(plan.name),
            "asked": None if asked is None else asdict(asked),
            "entry": entry,
        },
    )


def softdelete_change_start(
    plan: EnablePlan | DisablePlan,
    *,
    asked: EnableAsked | None,
    requester: User,
    reason: str,
    using: str = "default",
) -> Run:
    """A queued run that does what the plan says.

    Args:
        asked: what the plan was made by; None for one of disabling.

    Raises:
        RunBusy: such a run of this table is open, or one of another table is under way.
        SoftDeleteRefused: something is in the way.
    """
    frozen = change_plan(plan, asked)
    under_way = Run.objects.filter(
        kind=SOFTDELETE_CHANGE, database=using, state__in=[RunState.QUEUED, *OWNED]
    ).exclude(subject=frozen.subject)
    if other := under_way.first():
        raise RunBusy(f"{other} is under way: one table after the other. Wait until it has ended.")
    return run_create(
        kind=SOFTDELETE_CHANGE,
        parameters=frozen.parameters,
        requester=requester,
        reason=reason,
        using=using,
        plan=frozen,
    )


def asked_of(kept: dict[str, Any] | None) -> EnableAsked | None:
    """The choices as they were kept with a run."""
    if kept is None:
        return None
    hide_from = kept["hide_from"]
    return EnableAsked(
        capture_deletes=kept["capture_deletes"],
        row_security=kept["row_security"],
        grace_days=kept["grace_days"],
        along=tuple(kept["along"]),
        unique_active=tuple(kept["unique_active"]),
        hide_from=None if hide_from is None else tuple(hide_from),
    )

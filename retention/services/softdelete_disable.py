"""Disabling soft delete: what was added goes, and the table is again what it was.

Nothing is deleted softly from the first step on. Killed at any instant and run again it ends in
the same state; enabling it goes the way back.
"""

from __future__ import annotations

from dataclasses import dataclass

from operations.catalogue.types import TableName
from retention.exceptions import SoftDeleteRefused
from retention.models import SoftDeleteTable
from retention.selectors.softdelete_steps import Step
from retention.selectors.softdelete_undo import DisablePlan, softdelete_undo
from retention.services.softdelete_adopt import softdelete_adopt
from retention.services.softdelete_events import softdelete_event_triggers_drop
from retention.services.softdelete_steps_do import Told, alone, step_do, untold


@dataclass(frozen=True)
class Disabled:
    plan: DisablePlan
    tables: tuple[SoftDeleteTable, ...]
    """The one that was asked for first."""
    steps: tuple[Step, ...]


def softdelete_disable(
    name: TableName | str, *, tell: Told = untold, using: str = "default"
) -> Disabled:
    """All of it taken away, also of the tables that had it for this one's sake.

    Raises:
        SoftDeleteRefused: something is in the way; the text has all of it. Or, of a step: what
            PostgreSQL refused. What was done until then is kept, and gone on with.
        SoftDeleteMissing: the table has no soft delete.
        TableBusy: a transaction that uses a table did not end in time.
    """
    with alone(using=using):
        softdelete_adopt(using=using)
        plan = softdelete_undo(name, using=using)
        if plan.obstacles:
            raise SoftDeleteRefused("\n".join(plan.obstacles))
        for step in plan.steps:
            tell(step)
            step_do(step, plan.row_of(step), using=using)
        if not SoftDeleteTable.objects.using(using).filter(disabled_at=None).exists():
            softdelete_event_triggers_drop(using=using)
    for row in plan.rows:
        row.refresh_from_db()
    return Disabled(plan, tuple(plan.rows), tuple(plan.steps))

"""Enabling soft delete: on a table and on all whose rows go along with its rows.

Killed at any instant and run again it ends in the same state. No step keeps a lock over 2 seconds,
and indexes are built beside the writers.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from auditing.selectors.tracked import standings as audit_standings
from auditing.services.sync import table_sync
from operations.acting import console_actor
from operations.catalogue.types import TableName
from retention.exceptions import SoftDeleteRefused
from retention.models import SoftDeleteTable
from retention.selectors.softdelete_plan import (
    EnableAsked,
    EnablePlan,
    TablePlan,
    softdelete_plan,
)
from retention.selectors.softdelete_steps import Step
from retention.services.softdelete_adopt import softdelete_adopt
from retention.services.softdelete_events import softdelete_event_triggers
from retention.services.softdelete_steps_do import Told, alone, step_do, untold


@dataclass(frozen=True)
class Enabled:
    plan: EnablePlan
    """As it was before the first step."""
    tables: tuple[SoftDeleteTable, ...]
    """The one that was asked for first."""
    steps: tuple[Step, ...]
    """Those that were done."""
    follows: bool
    """Whether event triggers let the view follow changes of its table."""


def softdelete_enable(
    name: TableName | str,
    *,
    actor: User,
    reason: str,
    asked: EnableAsked | None = None,
    tell: Told = untold,
    using: str = "default",
) -> Enabled:
    """All that is missing of what `softdelete_plan` says, and the terms as they are asked.

    Args:
        tell: called before each step.

    Raises:
        SoftDeleteRefused: something is in the way; the text has all of it. Or, of a step: what
            PostgreSQL refused. What was done until then is kept, and gone on with.
        TableBusy: a transaction that uses a table did not end in time.
        NoSuchTable ..., SoftDeleteUsage: as `softdelete_plan` does.
    """
    with alone(using=using):
        softdelete_adopt(using=using)
        plan = softdelete_plan(name, asked=asked, using=using)
        if plan.obstacles:
            raise SoftDeleteRefused("\n".join(plan.obstacles))
        rows = _register(plan, actor=actor, reason=reason, using=using)
        for step in plan.steps:
            tell(step)
            step_do(step, rows[step.table], using=using)
        _ready(plan, rows, using)
        _keep_history(plan, actor=actor, reason=reason, using=using)
        follows = softdelete_event_triggers(using=using)
    tables = tuple(rows[name] for name in plan.closure.names)
    return Enabled(plan, tables, plan.steps, follows)


def softdelete_repair(row: SoftDeleteTable, *, actor: User, using: str) -> tuple[Step, ...]:
    """The steps that are missing of this table alone; the steps that were done.

    Raises what `softdelete_enable` does.
    """
    with alone(using=using):
        plan = softdelete_plan(row.table, using=using)
        mine = plan.tables[0]
        if mine.row is None or mine.row.pk != row.pk:
            raise SoftDeleteRefused(f"{row} is not the table any more that had soft delete.")
        steps = tuple(step for step in plan.steps if step.table == mine.table.name)
        for step in steps:
            step_do(step, mine.row, using=using)
    return steps


def _register(
    plan: EnablePlan, *, actor: User, reason: str, using: str
) -> dict[TableName, SoftDeleteTable]:
    """The entries of all tables, before the first change of one."""
    found = {}
    with transaction.atomic(using=using):
        for number, each in enumerate(plan.tables):
            row = each.row or _entry(each, actor=actor, reason=reason, using=using)
            row.schema_name, row.table_name = each.table.name.schema, each.table.name.name
            # Who asked for it by name keeps it when the table above is disabled.
            row.made = {**row.made, "asked": row.made.get("asked", False) or number == 0}
            row.made.pop("disabling", None)
            changed = ["schema_name", "table_name", "made"] if each.row else None
            row.save(using=using, update_fields=changed)
            found[each.table.name] = row
    return found


def _entry(each: TablePlan, *, actor: User, reason: str, using: str) -> SoftDeleteTable:
    return SoftDeleteTable(
        database=using,
        table_oid=each.table.oid,
        view_name=each.view,
        enabled_by=console_actor(actor.get_username()),
        reason=reason,
        **each.terms.shield(),
        **each.terms.rest(),
    )


def _keep_history(plan: EnablePlan, *, actor: User, reason: str, using: str) -> None:
    """Of audited tables the history gets the new columns: until then it has them aside."""
    names = set(plan.closure.names)
    for each in audit_standings(using=using):
        if each.now in names and (each.spilled or each.columns_changed):
            table_sync(each.tracked, actor=actor, reason=reason)


def _ready(plan: EnablePlan, rows: dict[TableName, SoftDeleteTable], using: str) -> None:
    """All of them at once: a row goes into the bin with all that goes along, or not at all."""
    with transaction.atomic(using=using):
        for each in plan.tables:
            row = rows[each.table.name]
            row.refresh_from_db()
            for name, value in each.terms.rest().items():
                setattr(row, name, value)
            row.ready_at = row.ready_at or timezone.now()
            row.save(using=using, update_fields=["ready_at", *each.terms.rest()])

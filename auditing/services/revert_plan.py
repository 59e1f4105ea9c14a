"""What a revert is about: the statements, in the order in which they are undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from auditing.exceptions import NoSuchChange, RestoreRefused
from auditing.models import ChangeStatement, Operation
from auditing.selectors.images import Shape, shape_of
from auditing.selectors.restorable import Restorable, restorable
from operations.runs.kinds import Plan

ALONE = 1_000
"""Rows that one person reverts; more are overwritten in bulk, and another person approves."""


@dataclass(frozen=True)
class Chosen:
    """One statement, or all of one transaction."""

    statement: int | None = None
    transaction: int | None = None

    def __str__(self) -> str:
        if self.statement is not None:
            return f"statement {self.statement}"
        return f"transaction {self.transaction}"


def statements_chosen(chosen: Chosen, *, using: str = "default") -> list[ChangeStatement]:
    """The last one first: what came after has to go before.

    Raises:
        NoSuchChange: there is none.
        RestoreRefused: it was a purge.
    """
    found = ChangeStatement.objects.using(using).select_related("tracked", "context")
    if chosen.statement is not None:
        found = found.filter(pk=chosen.statement)
    else:
        found = found.filter(xid=chosen.transaction or 0)
    statements = list(found.order_by("-id"))
    if not statements:
        raise NoSuchChange(f"The audit log has no {chosen}. manage.py audit_log shows what it has.")
    if any(each.operation == Operation.PURGE for each in statements):
        raise RestoreRefused(
            f"The {chosen} was a purge, which keeps no images: its archive has the rows "
            "(manage.py archive_list, archive_restore)."
        )
    return statements


def targets_of(statements: list[ChangeStatement]) -> dict[int, Restorable]:
    """By the tracked table's id. Raises RestoreRefused."""
    shapes: dict[int, Shape] = {}
    for each in statements:
        if each.tracked_id not in shapes:
            shapes[each.tracked_id] = shape_of(each.tracked)
    return {number: restorable(shape) for number, shape in shapes.items()}


def revert_plan(chosen: Chosen, *, using: str) -> Plan:
    """Raises what `statements_chosen` and `targets_of` raise."""
    statements = statements_chosen(chosen, using=using)
    targets = targets_of(statements)
    rows = sum(each.rows for each in statements)
    tables = sorted({str(targets[each.tracked_id].table.name) for each in statements})
    last = statements[0]
    facts: dict[str, Any] = {
        "reverts": str(chosen),
        "by": last.actor,
        "at": last.at.isoformat(),
        "because": last.context.reason if last.context else "",
        "tables": tables,
        "rows": rows,
        "statements": [
            {
                "statement": each.pk,
                "table": str(each.tracked),
                "rows": each.rows,
                "operation": Operation(each.operation).label,
            }
            for each in statements[:20]
        ],
    }
    reason = ""
    if rows > ALONE:
        reason = (
            f"It would put back up to {rows:,} rows of {', '.join(tables)} at once; "
            f"above {ALONE:,} another person approves."
        )
    return Plan(
        subject=str(chosen),
        facts=facts,
        total=rows,
        parameters={
            "statement": chosen.statement,
            "transaction": chosen.transaction,
            "statements": [each.pk for each in statements],
        },
        approval_reason=reason,
    )

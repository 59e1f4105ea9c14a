"""The part of a purge's plan that says which partitions go whole, and which do not and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.db import OperationalError, transaction
from psycopg import errors

from operations import vetoes
from operations.session import set_local
from retention.presenting import bytes_text
from retention.selectors.due import DueRows
from retention.selectors.partition_standing import standing
from retention.selectors.partition_units import Unit, in_order, partition_units
from retention.services.partition_held import partition_held
from retention.services.partition_state import KEY

MOST_REASONS = 5
"""That a look at terms tells; the plan of a run tells all."""
CHECK_SECONDS = 5
"""For which the rows of one partition are searched for a protected one."""
FACTS = ("partitions_dropped", "partitions_by_batches", "partitions_afterwards")
AFTERWARDS = (
    "Once they are dropped, inserting a row of their time fails: there is no partition for it."
)


@dataclass(frozen=True)
class PartitionPlan:
    facts: dict[str, Any]
    """What an approver is shown: JSON."""
    parameters: dict[str, Any]
    """What the run needs: JSON."""


def partition_plan(rows: DueRows, *, using: str) -> PartitionPlan:
    """Looks at every partition that has expired as a whole. Changes nothing."""
    units = partition_units(rows, using=using)
    if vetoes.protections(rows.table, using=using):
        units = [_asked(unit, rows, using) for unit in units]
    units = in_order(units, rows.table.name)
    whole = [unit for unit in units if not unit.obstacle]
    parameters = {KEY: [unit.to_json() for unit in whole]}
    if not units:
        return PartitionPlan({}, parameters)
    facts = {
        "partitions_dropped": [
            {
                "table": str(unit.table),
                "until": unit.end,
                "rows": unit.rows,
                "bytes": unit.bytes,
                "leaves": len(unit.leaves),
            }
            for unit in whole
        ],
        "partitions_by_batches": [
            {"table": str(unit.table), "why": unit.obstacle} for unit in units if unit.obstacle
        ],
        "partitions_afterwards": AFTERWARDS if whole else "",
    }
    return PartitionPlan(facts, parameters)


def partition_notes(rows: DueRows, *, using: str) -> list[str]:
    """The same in sentences, for a look at terms: who holds what is told there on its own."""
    units = in_order(partition_units(rows, using=using), rows.table.name)
    whole = [unit for unit in units if not unit.obstacle]
    notes = []
    if whole:
        names = str(whole[0].table) + (f" to {whole[-1].table}" if len(whole) > 1 else "")
        plural = "s have" if len(whole) > 1 else " has"
        notes.append(
            f"{len(whole):,} partition{plural} expired as a whole ({names}) and would be dropped, "
            f"which returns {bytes_text(sum(unit.bytes for unit in whole))} to the system; not one "
            f"with a row that is held. {AFTERWARDS}"
        )
    reasons: dict[str, list[str]] = {}
    for unit in units:
        if unit.obstacle:
            reasons.setdefault(unit.obstacle, []).append(str(unit.table))
    for why, tables in list(reasons.items())[:MOST_REASONS]:
        names = ", ".join(tables[:3]) + (f" and {len(tables) - 3:,} more" if tables[3:] else "")
        notes.append(f"Expired as a whole, and purged by batches all the same: {names} ({why}).")
    return notes


def partition_lines(plan: dict[str, Any]) -> list[str]:
    """The facts of a plan as lines for whoever decides at a terminal."""
    whole, left = plan.get("partitions_dropped", []), plan.get("partitions_by_batches", [])
    lines = []
    for each in whole:
        rows = "rows unknown" if each["rows"] is None else f"about {each['rows']:,} rows"
        lines.append(f"dropped whole: {each['table']}, {rows}, until {each['until']}")
    if whole:
        lines.append(plan["partitions_afterwards"])
    lines += [f"expired, by batches: {each['table']}: {each['why']}" for each in left]
    return lines


def _asked(unit: Unit, rows: DueRows, using: str) -> Unit:
    if unit.obstacle:
        return unit
    try:
        with transaction.atomic(using=using):
            set_local({"statement_timeout": f"{CHECK_SECONDS}s"}, using=using)
            by = partition_held(unit, standing(unit, using=using), rows.table, using=using)
    except OperationalError as error:
        if not isinstance(error.__cause__, errors.QueryCanceled):
            raise
        return replace(unit, obstacle=TOO_LARGE)
    return replace(unit, obstacle=held_text(by)) if by else unit


TOO_LARGE = "searching it for rows that somebody protects takes too long"


def held_text(by: str) -> str:
    return f"rows of it are protected by {by}"

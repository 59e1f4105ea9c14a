"""Which holds keep how many rows from a purge, by case: for its plan and its certificate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import TableName
from operations.conditions.exceptions import ConditionRefused
from operations.models import Run
from retention.exceptions import PolicyRefused
from retention.models import LegalHold
from retention.selectors.due import DueRows, expired, not_kept
from retention.selectors.hold_counts import Patience, held_by_any, row_within_time
from retention.selectors.hold_scopes import ScopeHere, scopes_of


def held_by(rows: DueRows, *, using: str) -> list[dict[str, Any]]:
    """`{hold, rows}` for each hold on the table: rows that but for holds would have gone.

    A row that two holds keep counts for both. `rows` is None where counting takes too long.
    """
    holds = _by_hold(scopes_of(rows.table, using=using))
    patience = Patience()
    counts: dict[LegalHold, int | None] = dict.fromkeys(holds)
    named = [hold for hold, here in holds.items() if all(each.named for each in here)]
    for hold in named:
        # By itself: a join, where a column of it would be looked up row by row.
        counts[hold] = _counted([sql.SQL("true")], held_by_any(holds[hold]), rows, patience, using)[
            0
        ]
    others = [hold for hold in holds if hold not in named]
    if others:
        columns = [held_by_any(holds[hold]) for hold in others]
        found = _counted(columns, sql.SQL("true"), rows, patience, using)
        counts.update(zip(others, found, strict=True))
    return [{"hold": hold.case_id, "rows": count} for hold, count in counts.items()]


def _by_hold(here: Sequence[ScopeHere]) -> dict[LegalHold, list[ScopeHere]]:
    found: dict[LegalHold, list[ScopeHere]] = {}
    for each in here:
        found.setdefault(each.scope.hold, []).append(each)
    return found


def _counted(
    columns: Sequence[sql.Composable],
    where: sql.Composable,
    rows: DueRows,
    patience: Patience,
    using: str,
) -> Sequence[int | None]:
    """Of the rows past their term, how many meet each of `columns`."""
    query = sql.SQL("SELECT {} FROM {} t WHERE {} AND {} AND {}").format(
        sql.SQL(", ").join(sql.SQL("count(*) FILTER (WHERE {})").format(each) for each in columns),
        rows.table.name.sql,
        expired(rows),
        not_kept(rows),
        where,
    )
    return row_within_time(query, using, patience.left) or (None,) * len(columns)


def holds_honoured(run: Run) -> list[dict[str, Any]]:
    """`held_by` as it is at the end of a purge; where that cannot be told, as it was planned."""
    planned: list[dict[str, Any]] = run.plan.get("held_by", [])
    try:
        table = read_table(TableName(*run.parameters["table"]), using=run.database)
        return held_by(DueRows.from_parameters(table, run.parameters), using=run.database)
    except (NoSuchTable, PolicyRefused, ConditionRefused):
        return planned

"""Which holds keep how many rows from a purge, by case: for its plan and its certificate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table, TableName
from operations.conditions.exceptions import ConditionRefused
from operations.models import Run
from retention.exceptions import PolicyRefused
from retention.models import LegalHold
from retention.selectors.deletions_due import DueDeletions
from retention.selectors.due import DueRows, expired, not_kept
from retention.selectors.hold_counts import Patience, held_by_any, row_within_time
from retention.selectors.hold_scopes import ScopeHere, scopes_of
from retention.selectors.softdelete_marks import DELETION


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


def held_in_bin(
    tables: Sequence[Table], which: DueDeletions, *, using: str
) -> list[dict[str, Any]]:
    """The same of rows in the bin that but for holds would be destroyed, over all these tables."""
    patience = Patience()
    counts: dict[str, int | None] = {}
    for table in tables:
        for hold, here in _by_hold(scopes_of(table, using=using)).items():
            query = sql.SQL("SELECT count(*) FROM {} t WHERE t.{} IN ({}) AND {}").format(
                table.name.sql, sql.Identifier(DELETION), which.numbers, held_by_any(here)
            )
            found = row_within_time(query, using, patience.left)
            before = counts.get(hold.case_id, 0)
            known = found is not None and before is not None
            counts[hold.case_id] = (before or 0) + (found or (0,))[0] if known else None
    return [{"hold": case, "rows": rows} for case, rows in counts.items() if rows != 0]


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
        if (which := DueDeletions.from_parameters(run.parameters)) is not None:
            others = [TableName(*each) for each in run.parameters["dependents"]]
            tables = [table, *(read_table(name, using=run.database) for name in others)]
            return held_in_bin(tables, which, using=run.database)
        return held_by(DueRows.from_parameters(table, run.parameters), using=run.database)
    except (NoSuchTable, PolicyRefused, ConditionRefused):
        return planned

"""Who keeps rows of a deletion from being destroyed."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from operations.catalogue.types import Table
from operations.vetoes import protections
from retention.models import Deletion
from retention.selectors.preview_budget import Budget, TooSlow

SECONDS = 1.0


def deletion_protectors(
    deletion: Deletion, tables: Iterable[Table], *, using: str = "default"
) -> tuple[list[str], bool]:
    """`hold 2031-17` and the like, each once; and whether there was time to look everywhere.

    A row for which a hold's condition is unknown is held. This only looks: what destroys asks
    itself, in every batch.
    """
    found: dict[str, None] = {}
    budget = Budget(SECONDS)
    complete = True
    for table in tables:
        if table.column("deletion_id") is None:
            continue
        for each in protections(table, using=using):
            if each.by in found:
                continue
            try:
                if _touches(deletion, table, each.rows, budget, using):
                    found[each.by] = None
            except TooSlow:
                complete = False
    return list(found), complete


def _touches(
    deletion: Deletion, table: Table, rows: sql.Composable | None, budget: Budget, using: str
) -> bool:
    query = sql.SQL(
        "SELECT EXISTS (SELECT FROM (SELECT t.tableoid, t.* FROM {table} t"
        " WHERE t.deletion_id = {deletion}) t WHERE ({rows}) IS NOT FALSE)"
    ).format(
        table=table.name.sql,
        deletion=sql.Literal(deletion.pk),
        rows=rows if rows is not None else sql.SQL("true"),
    )
    with budget.limited(SECONDS, using=using) as cursor:
        cursor.execute(query)
        return bool(cursor.fetchone()[0])

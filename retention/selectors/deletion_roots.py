"""What deletions began with, as people know it: read from the rows, which keep it, for a list.

Nothing of it is copied into a deletion, so what was erased or masked since is not told here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from django.db import DataError
from django.db.models import Sum
from psycopg import sql

from operations.catalogue.read import tables_by_oid
from operations.catalogue.types import Table
from operations.record_ids import PLACE, NoRecordId, key_values, record_id
from retention.models import Deletion, DeletionTable
from retention.selectors.preview_budget import Budget, TooSlow
from retention.selectors.row_texts import RowText, keyed_rows, listed, text_columns, texts

SECONDS = 1.0
"""For all of a page; what was not read by then is told by its key."""
SOME = 2
"""Rows that stand for a deletion that began with several."""


def deletion_roots(
    deletions: Sequence[Deletion], *, using: str = "default"
) -> dict[int, list[RowText]]:
    """By deletion, the record it began with, or some of several.

    Without those that are gone, and of a table that has another key by now none at all.
    """
    budget = Budget(SECONDS)
    tables = tables_by_oid({each.table_oid for each in deletions}, using=using)
    found: dict[int, list[RowText]] = defaultdict(list)
    for oid, table in tables.items():
        here = [each for each in deletions if each.table_oid == oid]
        try:
            _one(table, [each for each in here if each.record_id], found, budget, using)
            _several(table, [each for each in here if not each.record_id], found, budget, using)
        except (NoRecordId, DataError, TooSlow):
            continue
    return found


def deletion_root_of_each(
    deletions: Sequence[Deletion], *, using: str = "default"
) -> dict[int, RowText]:
    """By deletion, the one record it began with; none for those that began with several."""
    single = [each for each in deletions if each.record_id]
    return {pk: rows[0] for pk, rows in deletion_roots(single, using=using).items() if rows}


def rows_taken(deletions: Collection[Deletion]) -> dict[int, int]:
    """By deletion, how many rows it took, or was given."""
    counted = DeletionTable.objects.filter(deletion__in=[each.pk for each in deletions])
    totals = counted.order_by().values("deletion_id").annotate(total=Sum("deleted"))
    return dict(totals.values_list("deletion_id", "total"))


def _one(
    table: Table,
    deletions: list[Deletion],
    found: dict[int, list[RowText]],
    budget: Budget,
    using: str,
) -> None:
    """By the key: also of those that were refused, or restored since."""
    if not deletions:
        return
    columns = text_columns(table, using=using)
    query = keyed_rows(
        table,
        [key_values(each.record_id, table) for each in deletions],
        [sql.SQL("k.{}").format(PLACE), record_id(table), *texts(columns)],
        numbered=True,
    )
    for place, key, *values in _rows(query, budget, using):
        found[deletions[place - 1].pk].append(RowText(key, columns, tuple(values)))


def _several(
    table: Table,
    deletions: list[Deletion],
    found: dict[int, list[RowText]],
    budget: Budget,
    using: str,
) -> None:
    here = [each.pk for each in deletions if each.state == Deletion.State.DELETED]
    if not here or table.column("deletion_id") is None:
        return
    columns = text_columns(table, using=using)
    query = sql.SQL(
        "SELECT {parts} FROM unnest({ids}::bigint[]) AS d (id) CROSS JOIN LATERAL"
        " (SELECT * FROM {table} x WHERE x.deletion_id = d.id LIMIT {some}) t"
    ).format(
        parts=listed([sql.SQL("d.id"), record_id(table), *texts(columns)]),
        ids=sql.Literal(here),
        table=table.name.sql,
        some=sql.Literal(SOME),
    )
    for deletion, key, *values in _rows(query, budget, using):
        found[deletion].append(RowText(key, columns, tuple(values)))


def _rows(query: sql.Composable, budget: Budget, using: str) -> list[Any]:
    with budget.limited(SECONDS, using=using) as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())

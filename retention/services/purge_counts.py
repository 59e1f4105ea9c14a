"""How many rows are due, and what keeps the others that are past their term."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import OperationalError, connections, transaction
from psycopg import errors, sql

from operations import vetoes
from operations.catalogue.types import ForeignKey
from operations.conditions.render import render
from operations.session import set_local
from retention.selectors.due import (
    AGE_TYPES,
    DueRows,
    age_column,
    due,
    expired,
    not_referenced,
)

COUNT_SECONDS = 10
"""Counting is exact up to this time; beyond it PostgreSQL's estimate is used, and said."""


def due_counts(
    rows: DueRows, keeping: Sequence[ForeignKey], *, using: str
) -> tuple[dict[str, Any], list[int] | None]:
    """Rows past their term, by what happens to them; a row is counted once, in this order.

    And the first page with due rows and the page after the last, where they were looked at.

    Args:
        keeping: the foreign keys whose rows keep what they refer to.
    """
    unprotected = vetoes.unprotected(vetoes.protections(rows.table, using=using), table=rows.table)
    query = sql.SQL(
        "SELECT count(*) FILTER (WHERE {due}),"
        " count(*) FILTER (WHERE kept), count(*) FILTER (WHERE kept IS NULL),"
        " count(*) FILTER (WHERE kept IS FALSE AND NOT free),"
        " count(*) FILTER (WHERE kept IS FALSE AND free AND referred),"
        " min(age)::text, max(age)::text,"
        " min(place) FILTER (WHERE {due})::text, max(place) FILTER (WHERE {due})::text"
        " FROM (SELECT {kept} AS kept, {free} AS free, {referred} AS referred, {age} AS age,"
        " t.ctid AS place"
        # The fence keeps each of them from being asked again wherever it is counted by.
        " FROM {table} t WHERE {expired} OFFSET 0) AS t"
    ).format(
        due=sql.SQL("kept IS FALSE AND free AND NOT referred"),
        kept=_kept(rows),
        free=sql.SQL("({}) IS TRUE").format(unprotected),
        referred=sql.SQL("NOT ({})").format(not_referenced(rows, keeping)),
        age=_age(rows),
        table=rows.table.name.sql,
        expired=expired(rows),
    )
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            set_local({"statement_timeout": f"{COUNT_SECONDS}s"}, using=using)
            cursor.execute(query)
            found = cursor.fetchone()
    except OperationalError as error:
        if not isinstance(error.__cause__, errors.QueryCanceled):
            raise
        return _estimate(rows, unprotected, keeping, using), None
    names = ("due", "kept_by_condition", "undecided", "protected", "referenced")
    counts = dict(zip(names, found[:5], strict=True))
    facts = {**counts, "oldest": found[5], "newest": found[6], "estimated": False}
    return facts, [_page(found[7]), _page(found[8]) + 1] if counts["due"] else [0, 0]


def _page(place: str) -> int:
    """Of a ctid as text, `(page,item)`."""
    return int(place.strip("()").split(",")[0])


def _kept(rows: DueRows) -> sql.Composable:
    if rows.keep is None:
        return sql.SQL("false")
    return render(rows.keep, rows.table, alias="t")


def _age(rows: DueRows) -> sql.Composable:
    column = age_column(rows)
    name = sql.Identifier("t", column.name)
    if column.base_type in AGE_TYPES:
        return name
    return sql.SQL("pg_catalog.upper({})").format(name)


def _estimate(
    rows: DueRows, unprotected: sql.Composable, keeping: Sequence[ForeignKey], using: str
) -> dict[str, Any]:
    query = sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {} t WHERE {}").format(
        rows.table.name.sql, due(rows, unprotected, walking=False, keeping=keeping)
    )
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        plan = cursor.fetchone()[0]
    return {"due": int(plan[0]["Plan"]["Plan Rows"]), "estimated": True}

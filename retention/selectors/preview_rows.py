"""A few due rows to look at: the oldest, the newest, and some between, masked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import ProgrammingError
from psycopg import sql

from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Column
from operations.conditions.nodes import columns_named
from operations.masking import is_document, masked
from retention.selectors.preview_budget import Budget, TooSlow
from retention.selectors.preview_counts import SMALL
from retention.selectors.preview_pass import Look, age, due_row

OLDEST, NEWEST, BETWEEN = 4, 3, 3
COLUMNS = 8
"""That are shown of a row."""
SAMPLE = 600
"""Pages of a large table in which rows are looked for."""
SECONDS = 0.5
KEEP = 0.7
_CHARACTERS = 10_000
_DOCUMENT_BYTES = 20_000
"""Beyond which a document is not read for its masked beginning."""


@dataclass(frozen=True)
class SampleRows:
    """Due rows, no value in them that looks personal. Shown, and never stored."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    """By age, the oldest first."""
    more_columns: int
    """Columns of the table that are not shown."""
    from_sample: bool
    """They are the oldest and newest of some pages, not of the table."""
    problem: str = ""
    """Why there are none, when that is not because nothing is due."""

    def to_json(self) -> dict[str, Any]:
        return {
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
            "more_columns": self.more_columns,
            "from_sample": self.from_sample,
            "problem": self.problem or None,
        }


def sample_rows(look: Look, budget: Budget, *, using: str) -> SampleRows:
    """Never raises TooSlow."""
    columns = _columns(look)
    try:
        found, from_sample = _looked_for(look, columns, budget, using)
    except TooSlow:
        return _shown(look, columns, [], False, "There was no time to look for rows.")
    except ProgrammingError as error:
        told = " ".join(str(error).split())
        return _shown(look, columns, [], False, f"They cannot be read: {told}.")
    return _shown(look, columns, found, from_sample)


def _shown(
    look: Look, columns: list[Column], found: list[Any], from_sample: bool, problem: str = ""
) -> SampleRows:
    key = _key(look)
    return SampleRows(
        columns=tuple(column.name for column in columns),
        rows=tuple(
            tuple(
                masked(_plain(value, column), column, key=column.name in key)
                for value, column in zip(row, columns, strict=True)
            )
            for row in found
        ),
        more_columns=len(look.table.columns) - len(columns),
        from_sample=from_sample,
        problem=problem,
    )


def _plain(value: str | None, column: Column) -> str | None:
    """Moments without fractions of a second."""
    if value is None or column.category != "D":
        return value
    return re.sub(r"\.\d+", "", value)


def _columns(look: Look) -> list[Column]:
    """The key, the age, what the condition is about, then the others in their order."""
    keep = look.rows.keep
    wanted = [*_key(look), look.rows.age_column, *sorted(columns_named(keep) if keep else ())]
    first = [column for name in dict.fromkeys(wanted) if (column := look.table.column(name))]
    others = [column for column in look.table.columns if column not in first]
    return [*first, *others][: max(COLUMNS, len(first))]


def _key(look: Look) -> tuple[str, ...]:
    return look.table.key.columns if look.table.key else ()


def _looked_for(
    look: Look, columns: list[Column], budget: Budget, using: str
) -> tuple[list[Any], bool]:
    if look.table.pages <= SMALL:
        return _read(_query(look, columns, ""), budget, using), False
    percent = min(100 * SAMPLE / look.table.pages, 100.0)
    sample = f"TABLESAMPLE SYSTEM ({percent:.9f}) REPEATABLE (1)"
    if _by_index(look, budget, using):
        try:
            return _read(_query(look, columns, "", between=sample), budget, using), False
        except TooSlow:
            # Most rows at that end of the index are kept.
            pass
    return _read(_query(look, columns, sample), budget, using), True


def _by_index(look: Look, budget: Budget, using: str) -> bool:
    """The planner would take the oldest from an index, without sorting."""
    query = sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {} t WHERE {} ORDER BY {} LIMIT {}").format(
        look.table.name.sql, due_row(look), age(look.rows), sql.Literal(OLDEST)
    )
    with budget.limited(SECONDS, using=using) as cursor:
        cursor.execute(query)
        return "Sort" not in json.dumps(cursor.fetchone()[0][0]["Plan"])


def _query(
    look: Look, columns: Iterable[Column], sample: str, *, between: str = ""
) -> sql.Composable:
    """The rows as text in the order of their age, each once.

    Args:
        sample: of the table, in which the oldest and the newest are looked for; empty for all.
        between: the sample in which those between are looked for; empty for the same.
    """

    def some(order: str, limit: int) -> sql.Composable:
        by = age(look.rows) if order != "any" else _SHUFFLED
        return sql.SQL(
            "(SELECT t.tableoid AS leaf, t.ctid AS place, {age} AS age, {columns}"
            " FROM {table} t {sample} WHERE {due} ORDER BY {by} {direction} LIMIT {limit})"
        ).format(
            age=age(look.rows),
            columns=values,
            table=look.table.name.sql,
            sample=sql.SQL((between or sample) if order == "any" else sample),
            due=due_row(look),
            by=by,
            direction=sql.SQL("DESC" if order == "newest" else ""),
            limit=sql.Literal(limit),
        )

    listed = list(columns)
    names = [Identifier(f"value {number}") for number in range(len(listed))]
    values = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(_as_text(column), name)
        for column, name in zip(listed, names, strict=True)
    )
    parts = [some("oldest", OLDEST), some("newest", NEWEST), some("any", BETWEEN)]
    # The age itself is not fetched: not every moment that PostgreSQL knows is one for Python.
    return sql.SQL(
        "SELECT {names} FROM"
        " (SELECT DISTINCT ON (leaf, place) * FROM ({parts}) u ORDER BY leaf, place) v"
        " ORDER BY age, leaf, place"
    ).format(names=sql.SQL(", ").join(names), parts=sql.SQL(" UNION ALL ").join(parts))


_SHUFFLED = sql.SQL("pg_catalog.hashtext(t.ctid::text)")
"""An order that has nothing to do with that of the rows, and stays the same."""


def _as_text(column: Column) -> sql.Composable:
    name = Identifier("t", column.name)
    if is_document(column):
        return sql.SQL(
            "CASE WHEN pg_catalog.pg_column_size({name}) > {most} THEN ''"
            " ELSE pg_catalog.to_json({name})::text END"
        ).format(name=name, most=sql.Literal(_DOCUMENT_BYTES))
    return sql.SQL("pg_catalog.left({}::text, {})").format(name, sql.Literal(_CHARACTERS))


def _read(query: sql.Composable, budget: Budget, using: str) -> list[Any]:
    with budget.limited(SECONDS, using=using, keep=KEEP) as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())

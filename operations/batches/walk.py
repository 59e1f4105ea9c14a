"""Walking a table of any size in windows that do not overlap and leave nothing out.

Two ways: ranges of heap pages (ctid), leaf by leaf, or ranges of an index's columns. A window is
free of any predicate, so its cost does not grow with what earlier batches left behind
(PostgreSQL's manual, "TID Range Scan"; measured: research on purges).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.db import connections
from psycopg import sql

from operations.catalogue.types import Column, Table, TableName

By = Literal["ctid", "key"]


@dataclass(frozen=True)
class Walk:
    """How a table is walked, and why so."""

    by: By
    columns: tuple[str, ...]
    """The columns whose ranges are walked; empty for ctid."""
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"by": self.by, "columns": list(self.columns), "reason": self.reason}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Walk:
        return cls(data["by"], tuple(data["columns"]), data["reason"])


@dataclass(frozen=True)
class Window:
    """A slice of one leaf: after `after`, up to and with `upto`; None is open."""

    leaf: TableName
    by: By
    columns: tuple[str, ...]
    after: tuple[str, ...] | None
    """ctid: the first page. key: the last key that was done, each value as text."""
    upto: tuple[str, ...] | None
    """ctid: the page after the last. key: the last key of this window."""

    def to_json(self) -> dict[str, Any]:
        return {
            "leaf": [self.leaf.schema, self.leaf.name],
            "by": self.by,
            "after": list(self.after) if self.after else None,
            "upto": list(self.upto) if self.upto else None,
        }


def window_predicate(window: Window, table: Table, *, alias: str) -> sql.Composable:
    """The window as a condition on the rows of `alias`."""
    if window.by == "ctid":
        return _ctid_predicate(window, alias)
    columns = _columns(table, window.columns)
    row = _row([sql.Identifier(alias, column.name) for column in columns])
    parts: list[sql.Composable] = []
    if window.after is not None:
        parts.append(sql.SQL("{} > {}").format(row, _values(columns, window.after)))
    if window.upto is not None:
        parts.append(sql.SQL("{} <= {}").format(row, _values(columns, window.upto)))
    return sql.SQL(" AND ").join(parts) if parts else sql.SQL("true")


def _ctid_predicate(window: Window, alias: str) -> sql.Composable:
    ctid = sql.Identifier(alias, "ctid")
    first = int(window.after[0]) if window.after else 0
    lower = sql.SQL("{} >= {}::pg_catalog.tid").format(ctid, sql.Literal(f"({first},0)"))
    if window.upto is None:
        return lower
    upper = sql.SQL("{} < {}::pg_catalog.tid").format(
        ctid, sql.Literal(f"({int(window.upto[0])},0)")
    )
    return sql.SQL("{} AND {}").format(lower, upper)


def next_window(
    *,
    table: Table,
    leaf: TableName,
    walk: Walk,
    after: Sequence[str] | None,
    size: int,
    within: sql.Composable | None = None,
    pages: tuple[int, int] | None = None,
    using: str = "default",
) -> Window | None:
    """The window of about `size` pages or rows that follows `after`; None at the leaf's end.

    Outside of these there is nothing to do: `within`, for key ranges only, is a condition on the
    rows of alias `t` that the walk's own index serves; `pages`, for ctid ranges only, are the first
    page and the one after the last.
    """
    position = tuple(after) if after is not None else None
    if walk.by == "ctid":
        return _next_pages(leaf, position, size, pages, using)
    return _next_keys(table, leaf, walk.columns, position, size=size, within=within, using=using)


def _next_pages(
    leaf: TableName,
    after: tuple[str, ...] | None,
    size: int,
    pages: tuple[int, int] | None,
    using: str,
) -> Window | None:
    begin, end = pages or (0, None)
    first = int(after[0]) if after else begin
    with connections[using].cursor() as cursor:
        # The size is asked each time: the table grows and is cut short while it is walked.
        cursor.execute(
            sql.SQL(
                "SELECT pg_catalog.pg_relation_size(pg_catalog.to_regclass({}))"
                " / pg_catalog.current_setting('block_size')::int"
            ).format(sql.Literal(str(leaf)))
        )
        there = cursor.fetchone()[0]
    if there is None:
        return None
    end = there if end is None else min(end, there)
    if first >= end:
        return None
    return Window(leaf, "ctid", (), (str(first),), (str(min(first + size, end)),))


def _next_keys(
    table: Table,
    leaf: TableName,
    names: tuple[str, ...],
    after: tuple[str, ...] | None,
    *,
    size: int,
    within: sql.Composable | None,
    using: str,
) -> Window | None:
    columns = _columns(table, names)
    row = _row([sql.Identifier("t", column.name) for column in columns])
    conditions: list[sql.Composable] = []
    if after is not None:
        conditions.append(sql.SQL("{} > {}").format(row, _values(columns, after)))
    if within is not None:
        conditions.append(within)
    where = (
        sql.SQL("WHERE {}").format(sql.SQL(" AND ").join(conditions)) if conditions else sql.SQL("")
    )
    listed = [sql.Identifier("t", column.name) for column in columns]
    # The highest of the next `size` keys.
    query = sql.SQL(
        "SELECT {texts} FROM (SELECT {names} FROM ONLY {leaf} t {where}"
        " ORDER BY {names} LIMIT {size}) t ORDER BY {descending} LIMIT 1"
    ).format(
        texts=sql.SQL(", ").join(sql.SQL("{}::text").format(name) for name in listed),
        names=sql.SQL(", ").join(listed),
        leaf=leaf.sql,
        where=where,
        size=sql.Literal(size),
        descending=sql.SQL(", ").join(sql.SQL("{} DESC").format(name) for name in listed),
    )
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        found = cursor.fetchone()
    if found is None:
        return None
    return Window(leaf, "key", names, after, tuple(found))


def _columns(table: Table, names: Sequence[str]) -> list[Column]:
    columns = [table.column(name) for name in names]
    if any(column is None for column in columns):
        raise LookupError(f"{table.name} has no columns {names}")
    return [column for column in columns if column is not None]


def _row(parts: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL("({})").format(sql.SQL(", ").join(parts))


def _values(columns: Sequence[Column], values: Sequence[str]) -> sql.Composable:
    # The type's name is the catalogue's, never a user's.
    return _row(
        [
            sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(column.type))
            for column, value in zip(columns, values, strict=True)
        ]
    )

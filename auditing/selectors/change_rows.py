"""The rows of one statement or transaction, before and after, a page at a time.

A page costs the same whether the statement changed a row or a million: rows are taken in the order
of `seq`, from a stretch of it that the history's BRIN index finds, and only then is the version
before each of them looked up by the key's index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, transaction
from psycopg import sql

from auditing.models import ChangeStatement, Operation, TrackedTable
from auditing.selectors.images import Image, Shape, shape_of
from auditing.selectors.keys import key_is_text, record_id_of, same_record
from auditing.selectors.queries import pin
from auditing.selectors.recompute import recompute

PAGE = 50
_STRETCH = 4_000
"""Sequence numbers looked at first: a few hundred pages of the history at most."""
_SLACK = timedelta(hours=1)
"""Partitions are left out by time. A statement's rows are of one moment, give or take its own
length and what a clock was set back."""


@dataclass(frozen=True)
class RowChange:
    """What one statement did to one row."""

    statement: int
    seq: int
    operation: Operation
    at: datetime
    record_id: str
    was: str | None
    """The record id before, when the key was changed."""
    before: Image | None
    """None: there was no row, or its version before is kept no more."""
    after: Image | None
    """None: there is no row any more."""
    changed: tuple[int, ...]
    """Attnums, of an update; masked ones too."""


@dataclass(frozen=True)
class RowPage:
    shape: Shape
    rows: tuple[RowChange, ...]
    next_after: int | None
    """`after` of the page that follows; None on the last."""


def statement_rows(
    statement: ChangeStatement,
    *,
    after: int = 0,
    limit: int = PAGE,
    shape: Shape | None = None,
) -> RowPage:
    """The rows that a statement changed, in the order of their versions.

    A purge has none: what it destroyed is counted in its event. Args: after: only rows with a
    higher `seq`: `next_after` of the page before.
    """
    shape = shape or shape_of(statement.tracked)
    if statement.first_seq is None or statement.last_seq is None:
        return RowPage(shape, (), None)
    found: list[RowChange] = []
    low, size = max(after, statement.first_seq - 1), _STRETCH
    with transaction.atomic(using=shape.using):
        pin(using=shape.using)
        while len(found) <= limit and low < statement.last_seq:
            high = min(low + size, statement.last_seq)
            found += _rows(shape, statement, low, high, limit + 1 - len(found))
            low, size = high, size * 4
    kept = _with_computed(shape, found[:limit])
    return RowPage(shape, tuple(kept), kept[-1].seq if len(found) > limit else None)


def transaction_rows(
    xid: int, *, limit: int = PAGE, using: str = "default"
) -> Iterator[tuple[ChangeStatement, RowPage]]:
    """The statements of a transaction in their order, each with its first page of rows."""
    statements = (
        ChangeStatement.objects.using(using)
        .filter(xid=xid)
        .select_related("tracked", "context", "event")
        .order_by("id")
    )
    shapes: dict[int, Shape] = {}
    for each in statements:
        shape = shapes.get(each.tracked_id) or shape_of(each.tracked)
        shapes[each.tracked_id] = shape
        yield each, statement_rows(each, limit=limit, shape=shape)


def _rows(
    shape: Shape, statement: ChangeStatement, low: int, high: int, limit: int
) -> list[RowChange]:
    where = rows_between(statement, low, high)
    with connections[shape.using].cursor() as cursor:
        cursor.execute(changes_query(shape, where, limit))
        return [_row(shape, row) for row in cursor.fetchall()]


def rows_between(statement: ChangeStatement, low: int, high: int) -> sql.Composable:
    """The rows of the statement in a stretch of `seq`: above the one, up to and with the other."""
    return sql.SQL(
        "h.statement = {statement} AND h.seq > {low} AND h.seq <= {high}"
        " AND h.at >= {first} AND h.at <= {last} AND h.op IN ('I', 'U', 'D', 'T')"
    ).format(
        statement=sql.Literal(statement.pk),
        low=sql.Literal(low),
        high=sql.Literal(high),
        first=sql.Literal(statement.at - _SLACK),
        last=sql.Literal(statement.at + timedelta(days=1)),
    )


def previous(shape: Shape, *, alias: str = "h", name: str = "p") -> sql.Composable:
    """A lateral join: the version before the row of `alias`, or the one under its old key.

    Two look-ups by the index of the key; that of a row that was inserted finds what is NULL.
    """
    return sql.SQL(
        "LEFT JOIN LATERAL ("
        " (SELECT v.* FROM {history} v WHERE {alias}.op IN ('U', 'R')"
        "  AND {alias}.rest ->> 'was' IS NULL AND {same}"
        "  AND v.seq < {alias}.seq AND v.at <= {alias}.at + interval '1 day'"
        "  ORDER BY v.seq DESC LIMIT 1)"
        " UNION ALL"
        " (SELECT v.* FROM {history} v WHERE {alias}.op = 'U'"
        "  AND {moved} AND v.op = 'R' AND v.statement = {alias}.statement"
        "  AND v.at BETWEEN {alias}.at - interval '1 day' AND {alias}.at + interval '1 day'"
        "  AND v.rest ->> 'now' = {record} ORDER BY v.seq DESC LIMIT 1)"
        ") {name} ON true"
    ).format(
        history=shape.history,
        alias=sql.Identifier(alias),
        same=same_record(shape, "v", alias),
        moved=key_is_text(shape, sql.SQL("({}.rest ->> 'was')").format(sql.Identifier(alias)), "v"),
        record=record_id_of(shape, alias),
        name=sql.Identifier(name),
    )


_HEADS = 11


def changes_query(shape: Shape, where: sql.Composable, limit: int) -> sql.Composable:
    captured = shape.captured
    return sql.SQL(
        "SELECT h.seq, h.op::pg_catalog.text, h.at, h.statement, h.layout,"
        " h.changed::pg_catalog.text, h.rest ->> 'was', {record}, p.seq, p.layout,"
        " p.op::pg_catalog.text{after}{before}"
        " FROM (SELECT * FROM {history} h WHERE {where} ORDER BY h.seq LIMIT {limit}) h"
        " {previous} ORDER BY h.seq"
    ).format(
        record=record_id_of(shape),
        after=sql.SQL("").join(sql.SQL(", {}").format(each.text("h")) for each in captured),
        before=sql.SQL("").join(sql.SQL(", {}").format(each.text("p")) for each in captured),
        history=shape.history,
        where=where,
        limit=sql.Literal(limit),
        previous=previous(shape),
    )


def _row(shape: Shape, row: tuple[Any, ...]) -> RowChange:
    seq, op, at, statement, layout, bits, was, record_id, before_seq, before_layout, before_op = (
        row[:_HEADS]
    )
    width = len(shape.captured)
    image = _image(shape, layout, row[_HEADS : _HEADS + width])
    gone = op in (Operation.DELETE, Operation.TRUNCATE)
    before = image if gone else None
    # What ended before this came is not what this was made from, but for a key that was given up.
    if before_seq is not None and before_op not in (Operation.DELETE, Operation.TRUNCATE):
        before = _image(shape, before_layout, row[_HEADS + width :])
    return RowChange(
        statement=statement,
        seq=seq,
        operation=Operation(op),
        at=at,
        record_id=record_id,
        was=was,
        before=before,
        after=None if gone else image,
        changed=shape.changed(layout, bits),
    )


def _image(shape: Shape, layout: int, texts: tuple[str | None, ...]) -> Image:
    there = set(shape.was_there(layout))
    return {
        column.attnum: text
        for column, text in zip(shape.captured, texts, strict=True)
        if text is not None or column.attnum in there
    }


def _with_computed(shape: Shape, rows: list[RowChange]) -> list[RowChange]:
    if not shape.virtual:
        return rows
    befores = iter(recompute(shape, [row.before for row in rows if row.before is not None]))
    afters = iter(recompute(shape, [row.after for row in rows if row.after is not None]))
    return [
        replace(
            row,
            before=None if row.before is None else next(befores),
            after=None if row.after is None else next(afters),
        )
        for row in rows
    ]


__all__ = [
    "PAGE",
    "RowChange",
    "RowPage",
    "TrackedTable",
    "changes_query",
    "previous",
    "statement_rows",
    "transaction_rows",
]

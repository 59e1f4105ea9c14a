"""The rows of a live table that are not what their last version says, a slice of keys at a time.

Set-based and in one statement, so in one snapshot: a change and its version are seen together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from django.db import connections, transaction
from psycopg import sql

from auditing.selectors.images import ImageColumn, Shape
from auditing.selectors.keys import has_one_place, record_id_of
from auditing.selectors.sealed_rows import PRINTED
from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import TableName
from operations.conditions.render import Text
from operations.session import set_local

Difference = Literal["other", "no version", "gone"]


@dataclass(frozen=True)
class Different:
    record_id: str
    how: Difference
    columns: tuple[str, ...]
    """Of `other`: those that differ."""


@dataclass(frozen=True)
class LiveSlice:
    """What was found between two keys."""

    rows: int
    different: tuple[Different, ...]


_CUT = "SELECT {texts} FROM {table} AS t WHERE {after} ORDER BY {key} OFFSET %s LIMIT 1"
_COMPARED = """
WITH live AS (SELECT t.* FROM {table} AS t WHERE {live_from}),
known AS (
    SELECT DISTINCT ON ({kept}) h.*
    FROM {history} AS h
    WHERE {known_from}
    ORDER BY {kept}, h.seq DESC, h.statement DESC
),
pairs AS (
    SELECT t, h, {record} AS record_id,
        CASE WHEN h.seq IS NULL THEN 'no version'
             WHEN t.{first} IS NULL THEN CASE WHEN h.op IN ('I', 'U', 'B', 'C') THEN 'gone' END
             WHEN h.op NOT IN ('I', 'U', 'B', 'C') THEN 'no version'
             WHEN {differ} THEN 'other' END AS how
    FROM live AS t FULL JOIN known AS h ON {same}
)
SELECT (SELECT count(*) FROM live), p.record_id, p.how, p.columns
FROM (SELECT 1) AS one LEFT JOIN (
    SELECT p.record_id, p.how,
        CASE WHEN p.how = 'other' THEN array_remove({columns}, NULL) END AS columns
    FROM pairs AS p
    WHERE p.how IS NOT NULL
) AS p ON p.columns IS NULL OR cardinality(p.columns) > 0
LIMIT %s
"""
MOST = 100_000
"""Findings of one slice, more than it has rows: of some a redaction is the reason."""


def comparable(shape: Shape) -> bool:
    """Its rows can be told apart and put in order as its versions are."""
    return bool(shape.key) and all(has_one_place(each) and each.live for each in shape.key)


def live_cut(
    shape: Shape, table: TableName, *, whole: bool, after: Sequence[str] | None, size: int
) -> tuple[str, ...] | None:
    """The key of the `size`th row after `after`, each value as text; None: there are fewer.

    Args:
        whole: with the rows of its partitions; else the table's own only.
    """
    using = shape.using
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        set_local(PRINTED, using=using)
        cursor.execute(
            sql.SQL(_CUT).format(
                texts=_listed([sql.SQL("{}::text").format(_live(k, "t")) for k in shape.key]),
                table=_read(table, whole=whole),
                after=_beyond(shape, "t", ">", after),
                key=_listed([_live(k, "t") for k in shape.key]),
            ),
            [size - 1],
        )
        found = cursor.fetchone()
    return tuple(found) if found else None


def live_slice(
    shape: Shape,
    table: TableName,
    *,
    whole: bool,
    after: Sequence[str] | None,
    upto: Sequence[str] | None,
) -> LiveSlice:
    """Compares the rows with keys between, and the versions of such keys."""
    using = shape.using
    bounds = {
        alias: sql.SQL("{} AND {}").format(
            _beyond(shape, alias, ">", after), _beyond(shape, alias, "<=", upto)
        )
        for alias in ("t", "h")
    }
    compared = [each for each in columns_compared(shape) if each.key_position is None]
    same = [
        sql.SQL("{} = {}").format(_as_kept(k, _live(k, "t")), Identifier("h", k.kept[0].name))
        for k in shape.key
    ]
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        set_local(PRINTED, using=using)
        cursor.execute(
            sql.SQL(_COMPARED).format(
                table=_read(table, whole=whole),
                live_from=bounds["t"],
                known_from=bounds["h"],
                history=shape.history,
                kept=_listed([Identifier("h", k.kept[0].name) for k in shape.key]),
                record=_record(shape),
                first=sql.Identifier(shape.key[0].name),
                same=sql.SQL(" AND ").join(same),
                differ=_differ(compared, "t", "h"),
                columns=_columns(compared),
            ),
            [MOST],
        )
        found = cursor.fetchall()
    different = tuple(
        Different(record, how, tuple(columns or ())) for _, record, how, columns in found if how
    )
    return LiveSlice(found[0][0], different)


def _read(table: TableName, *, whole: bool) -> sql.Composable:
    return table.sql if whole else sql.SQL("ONLY {}").format(table.sql)


def columns_compared(shape: Shape) -> list[ImageColumn]:
    """Captured columns that are there, of a type that the history has a column for.

    Not those that nobody asked to follow: a change of them alone makes no version.
    """
    followed = set(shape.tracked.columns.filter(significant=True).values_list("attnum", flat=True))
    return [
        each
        for each in shape.captured
        if each.attnum in followed
        and each.live is not None
        and each.kept
        and each.kept[0].source_type == each.live.source
    ]


def _differ(columns: Sequence[ImageColumn], live: str, kept: str) -> sql.Composable:
    if not columns:
        return sql.SQL("false")
    # As images: 1.0 and 1.00 are equal, and not the same.
    return sql.SQL("pg_catalog.record_image_ne(ROW({}), ROW({}))").format(
        _listed([_as_kept(each, _live(each, live)) for each in columns]),
        _listed([Identifier(kept, each.kept[0].name) for each in columns]),
    )


def _columns(columns: Sequence[ImageColumn]) -> sql.Composable:
    """The names of those that differ. A value may have another place: `rest`, or a former type's
    column; then its text is the same."""
    named = [
        sql.SQL(
            "CASE WHEN pg_catalog.record_image_ne(ROW({live}), ROW({kept}))"
            " AND {text} IS DISTINCT FROM {live}::text THEN {name} END"
        ).format(
            live=_as_kept(each, sql.SQL("(p.t).{}").format(sql.Identifier(each.name))),
            kept=sql.SQL("(p.h).{}").format(sql.Identifier(each.kept[0].name)),
            text=each.text("r"),
            name=sql.Literal(each.name),
        )
        for each in columns
    ]
    return sql.SQL("(SELECT ARRAY[{}]::text[] FROM (SELECT (p.h).*) AS r)").format(_listed(named))


def _record(shape: Shape) -> sql.Composable:
    """The record id of either side, written from the history's types."""
    pairs = [
        sql.SQL("COALESCE({}, {}) AS {}").format(
            Identifier("h", k.kept[0].name),
            _as_kept(k, _live(k, "t")),
            sql.Identifier(k.kept[0].name),
        )
        for k in shape.key
    ]
    return sql.SQL("(SELECT {} FROM (SELECT {}) AS k)").format(
        record_id_of(shape, "k"), _listed(pairs)
    )


def _live(column: ImageColumn, alias: str) -> sql.Composable:
    return Identifier(alias, column.name)


def _as_kept(column: ImageColumn, value: sql.Composable) -> sql.Composable:
    kept = column.kept[0]
    if kept.type == kept.source_type:
        return value
    return sql.SQL("{}::{}").format(value, sql.SQL(kept.type))


def _beyond(shape: Shape, alias: str, sign: str, key: Sequence[str] | None) -> sql.Composable:
    """The row's key is beyond the other; true when that is open."""
    if key is None:
        return sql.SQL("true")
    if alias == "t":
        places = [_live(each, alias) for each in shape.key]
    else:
        places = [Identifier(alias, each.kept[0].name) for each in shape.key]
    values = [
        sql.SQL("{}::{}").format(Text(value), sql.SQL(each.kept[0].type))
        for each, value in zip(shape.key, key, strict=True)
    ]
    return sql.SQL("({}) {} ({})").format(_listed(places), sql.SQL(sign), _listed(values))


def _listed(parts: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL(", ").join(parts)

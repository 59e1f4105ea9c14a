"""The image of a version as a JSON object, for what is read with SQL: views and functions.

Columns stand under the names that they have now, those that were dropped only where they had a
value. Masked and excluded columns are not there, nor virtual ones: computing them would tie the
application's own functions to a view of ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from psycopg import sql

from auditing.selectors.images import ImageColumn, Kept, Shape
from auditing.selectors.keys import type_name
from operations.catalogue.identifiers import Identifier
from operations.conditions.render import Text

_DOCUMENTS = frozenset({"json", "_json"})
"""What may hold texts that jsonb refuses: a NUL, half a surrogate pair, too large a number."""


def image_json(shape: Shape, alias: str = "h") -> sql.Composable:
    """A jsonb expression over the history row of `alias`; costs only where it is selected."""
    present, gone = _by_name(shape)
    fields = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(_value(columns, alias), Identifier(name))
        for name, columns in present.items()
    )
    whole: sql.Composable = sql.SQL(
        "(SELECT pg_catalog.to_jsonb(i.*) FROM (SELECT {}) AS i)"
    ).format(fields)
    for name, columns in gone.items():
        value = _value(columns, alias)
        whole = sql.SQL(
            "{} || CASE WHEN {} IS NULL THEN '{{}}'::pg_catalog.jsonb"
            " ELSE pg_catalog.jsonb_build_object({}, {}) END"
        ).format(whole, value, Text(name), value)
    return sql.SQL("({})").format(whole)


def _by_name(shape: Shape) -> tuple[dict[str, list[ImageColumn]], dict[str, list[ImageColumn]]]:
    """Present columns, and those that only were. A column that was dropped and added again is two
    of one name, of which a version has the one that was there."""
    present: dict[str, list[ImageColumn]] = {}
    gone: dict[str, list[ImageColumn]] = {}
    exists = any(each.live is not None for each in shape.columns)
    for column in shape.captured:
        if column.live is not None or (not exists and not _dropped(shape, column)):
            present[column.name] = [column]
    for column in sorted(shape.captured, key=lambda each: -each.attnum):
        if column.live is None and column not in present.get(column.name, []):
            place = present if column.name in present else gone
            place.setdefault(column.name, []).append(column)
    return present, gone


def _dropped(shape: Shape, column: ImageColumn) -> bool:
    """Dropped before its table was."""
    return column.attnum in {
        each.attnum for each in shape.tracked.columns.all() if each.dropped_at is not None
    }


def _value(columns: Sequence[ImageColumn], alias: str) -> sql.Composable:
    parts: list[sql.Composable] = []
    for column in columns:
        parts += [_kept(each, alias) for each in column.kept]
        rest, place = Identifier(alias, "rest"), sql.Literal(str(column.attnum))
        type_ = column.kept[0].type if column.kept else re.sub(r"\([^)]*\)", "", column.type)
        parts.append(
            sql.SQL(
                "CASE WHEN {rest} IS NOT NULL"
                " THEN custody.audit_json({rest} ->> {place}, {type}) END"
            ).format(rest=rest, place=place, type=Text(type_))
        )
    return sql.SQL("COALESCE({})").format(sql.SQL(", ").join(parts))


def _kept(kept: Kept, alias: str) -> sql.Composable:
    name = Identifier(alias, kept.name)
    if type_name(kept.type) in _DOCUMENTS:
        return sql.SQL("custody.audit_json({}::pg_catalog.text, {})").format(name, Text(kept.type))
    return sql.SQL("pg_catalog.to_jsonb({})").format(name)

"""Naming and finding records in a history: by the key's own columns, so that its index serves.

A key's column that had several types has several columns in the history, and what was captured
between the change of type and the next `audit_sync` stands in `rest`: all of them are asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from psycopg import sql

from auditing.exceptions import NoSuchVersion
from auditing.selectors.images import ImageColumn, Kept, Shape
from operations.catalogue.identifiers import Identifier
from operations.conditions.render import Text
from operations.record_ids import value_text

_BITS = {"int2": 15, "int4": 31, "int8": 63}
_STRINGS = frozenset({"text", "varchar", "bpchar", "name"})


def type_name(type_: str) -> str:
    """The name of one of pg_catalog's types, as a history column has it: `int4`."""
    return type_.removeprefix("pg_catalog.").strip('"')


def record_id_of(shape: Shape, alias: str = "h") -> sql.Composable:
    """The record id of a history row, as `operations.record_ids` writes it of the table's row."""
    parts = [key_text(column, alias) for column in shape.key]
    if len(parts) == 1:
        return parts[0]
    return sql.SQL("pg_catalog.to_json(ARRAY[{}])::pg_catalog.text").format(
        sql.SQL(", ").join(parts)
    )


def key_text(column: ImageColumn, alias: str) -> sql.Composable:
    texts = [_written(each, alias) for each in column.kept]
    if has_one_place(column):
        return texts[0]
    return sql.SQL("COALESCE({})").format(sql.SQL(", ").join([*texts, _rest(column, alias)]))


def has_one_place(column: ImageColumn) -> bool:
    """All its values are in one column of the history, none in `rest`."""
    if len(column.kept) != 1:
        return False
    return column.live is None or column.kept[0].source_type == column.live.source


def _written(kept: Kept, alias: str) -> sql.Composable:
    return value_text(type_name(kept.type), Identifier(alias, kept.name))


def _rest(column: ImageColumn, alias: str) -> sql.Composable:
    return sql.SQL("{} ->> {}").format(Identifier(alias, "rest"), sql.Literal(str(column.attnum)))


def key_values(shape: Shape, text: str) -> tuple[str, ...]:
    """The values of a record id, or of a key as people write it: `a,b` or a JSON array.

    Raises:
        NoSuchVersion: with how to write it.
    """
    columns = shape.key
    if len(columns) == 1:
        found = _from_json(text) if text.lstrip().startswith("[") else []
        return (found[0] if len(found) == 1 else text,)
    values = _from_json(text) if text.lstrip().startswith("[") else text.split(",")
    if len(values) != len(columns):
        names = ", ".join(column.name for column in columns)
        raise NoSuchVersion(
            f"{text!r} is no key of {shape.tracked}: it has {len(columns)} columns ({names}). "
            'Write a,b in that order, or a JSON array: ["a", "b"].'
        )
    return tuple(values)


def _from_json(text: str) -> list[str]:
    try:
        found = json.loads(text, parse_int=str, parse_float=str)
    except json.JSONDecodeError:
        return []
    if not isinstance(found, list):
        return []
    return [str(each).lower() if isinstance(each, bool) else str(each) for each in found]


def key_is(shape: Shape, values: Sequence[str], alias: str = "h") -> sql.Composable:
    """The history row has this key. The values are literals of the history's own types.

    PostgreSQL refuses (DataError) what is no value of the type.
    """
    return sql.SQL("({})").format(
        sql.SQL(" AND ").join(
            _column_is(column, value, alias)
            for column, value in zip(shape.key, values, strict=True)
        )
    )


def _column_is(column: ImageColumn, value: str, alias: str) -> sql.Composable:
    if has_one_place(column):
        return _kept_is(column.kept[0], value, alias)
    places = [_kept_is(each, value, alias) for each in column.kept if _may_hold(each, value)]
    nowhere = [sql.SQL("{} IS NULL").format(Identifier(alias, k.name)) for k in column.kept]
    places.append(
        sql.SQL("({})").format(
            sql.SQL(" AND ").join(
                [*nowhere, sql.SQL("{} = {}").format(_rest(column, alias), Text(value))]
            )
        )
    )
    return sql.SQL("({})").format(sql.SQL(" OR ").join(places))


def _kept_is(kept: Kept, value: str, alias: str) -> sql.Composable:
    return sql.SQL("{} = {}::{}").format(
        Identifier(alias, kept.name), Text(value), sql.SQL(kept.type)
    )


def _may_hold(kept: Kept, value: str) -> bool:
    """Of several columns only those are asked that can hold the value."""
    bits = _BITS.get(type_name(kept.type))
    if bits is None:
        return type_name(kept.type) in _STRINGS or not value.lstrip("-").isdigit()
    return bool(re.fullmatch("-?[0-9]{1,19}", value)) and -(2**bits) <= int(value) < 2**bits


def key_is_text(shape: Shape, text: sql.Composable, alias: str) -> sql.Composable:
    """The history row has the record id that the expression `text` gives; NULL finds nothing."""
    if len(shape.key) == 1:
        parts = [text]
    else:
        parts = [
            sql.SQL("(({})::pg_catalog.jsonb ->> {})").format(text, sql.Literal(place))
            for place in range(len(shape.key))
        ]
    found: list[sql.Composable] = []
    for column, part in zip(shape.key, parts, strict=True):
        if has_one_place(column):
            kept = column.kept[0]
            found.append(
                sql.SQL("{} = ({})::{}").format(
                    Identifier(alias, kept.name), part, sql.SQL(kept.type)
                )
            )
        else:
            found.append(_same_in_any_place(column, part, alias))
    return sql.SQL("({})").format(sql.SQL(" AND ").join(found))


def same_record(shape: Shape, one: str, other: str) -> sql.Composable:
    """Two history rows are versions of the same key; the index serves look-ups of `one`."""
    return sql.SQL("({})").format(
        sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(
                Identifier(one, column.kept[0].name), Identifier(other, column.kept[0].name)
            )
            if has_one_place(column)
            else _same_in_any_place(column, key_text(column, other), one)
            for column in shape.key
        )
    )


def _same_in_any_place(column: ImageColumn, text: sql.Composable, alias: str) -> sql.Composable:
    places: list[sql.Composable] = []
    for kept in column.kept:
        name, type_ = Identifier(alias, kept.name), type_name(kept.type)
        bits = _BITS.get(type_)
        if bits is not None:
            # Larger numbers are in the column that was made for them.
            places.append(
                sql.SQL(
                    "{name} = CASE WHEN {text} ~ '^-?[0-9]{{1,19}}$' THEN"
                    " CASE WHEN ({text})::pg_catalog.numeric BETWEEN {least} AND {most}"
                    " THEN ({text})::{type} END END"
                ).format(
                    name=name,
                    text=text,
                    least=sql.Literal(-(2**bits)),
                    most=sql.Literal(2**bits - 1),
                    type=sql.SQL(kept.type),
                )
            )
        elif type_ in _STRINGS:
            places.append(sql.SQL("{} = {}").format(name, text))
        else:
            places.append(sql.SQL("{} = {}").format(_written(kept, alias), text))
    nowhere = [sql.SQL("{} IS NULL").format(Identifier(alias, k.name)) for k in column.kept]
    in_rest = sql.SQL("{} = {}").format(_rest(column, alias), text)
    places.append(sql.SQL("({})").format(sql.SQL(" AND ").join([*nowhere, in_rest])))
    return sql.SQL("({})").format(sql.SQL(" OR ").join(places))

"""Record ids: a row's key as text, the same whatever the session's settings are.

The key's value, or for a key of several columns a JSON array of texts: `["7","2026-01-02"]`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from psycopg import sql

from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Column, Table
from operations.conditions.render import Text
from operations.exceptions import UsageError

_PLAIN = frozenset(
    {"int2", "int4", "int8", "uuid", "bool", "text", "varchar", "bpchar", "name", "citext"}
) | frozenset({"inet", "cidr", "macaddr", "macaddr8"})
"""Types whose text no setting changes, and that write equal values alike."""
PLACE = sql.Identifier("place of the key")
"""Of a given key among those given with it: a name that no column of a key has."""
_WRITTEN = {
    "numeric": "pg_catalog.trim_scale({})::pg_catalog.text",
    "bytea": "'\\x' || pg_catalog.encode({}, 'hex')",
    "date": "pg_catalog.to_json({}) #>> '{{}}'",
    "timestamp": "pg_catalog.replace(pg_catalog.to_json({}) #>> '{{}}', 'T', ' ')",
    "timestamptz": (
        "pg_catalog.replace("
        "pg_catalog.to_json(pg_catalog.timezone('UTC', {})) #>> '{{}}', 'T', ' ') || '+00'"
    ),
}


class NoRecordId(UsageError):
    """The rows of this table cannot be named, or the text names none."""


def key_columns(table: Table) -> tuple[Column, ...]:
    """The columns that name a row, in the key's order.

    Raises:
        NoRecordId: no key, or one whose text would depend on settings.
    """
    if table.key is None:
        raise NoRecordId(f"{table.name} has no key, so its rows cannot be named one by one.")
    columns = tuple(column for name in table.key.columns if (column := table.column(name)))
    for column in columns:
        if not _has_one_text(column):
            raise NoRecordId(
                f"{table.name} is keyed by {column.name}, a {column.type}: "
                "its rows cannot be named one by one."
            )
    return columns


def _has_one_text(column: Column) -> bool:
    if column.base_kind == "enum":
        return True
    return column.base_name in _PLAIN or column.base_type in _WRITTEN


def record_id(table: Table, *, alias: str = "t") -> sql.Composable:
    """The record id of a row of `alias`, as an expression. Raises NoRecordId."""
    parts = [_text(column, alias) for column in key_columns(table)]
    if len(parts) == 1:
        return sql.SQL("({})").format(parts[0])
    return sql.SQL("pg_catalog.to_json(ARRAY[{}])::pg_catalog.text").format(
        sql.SQL(", ").join(parts)
    )


def _text(column: Column, alias: str) -> sql.Composable:
    name = Identifier(alias, column.name)
    return value_text(column.base_type if column.base_kind == "base" else "", name)


def value_text(base_type: str, value: sql.Composable) -> sql.Composable:
    """A value as it stands in record ids; `base_type` is a name of pg_catalog's, or any other."""
    return sql.SQL(_WRITTEN.get(base_type, "{}::pg_catalog.text")).format(value)


def key_values(text: str, table: Table) -> tuple[str, ...]:
    """The values of a key that somebody wrote: `4711`, `a,b` in the key's order, or JSON.

    Raises:
        NoRecordId: with how to write it.
    """
    columns = key_columns(table)
    if len(columns) == 1:
        return (_only(text),)
    values = _from_json(text) if text.lstrip().startswith("[") else text.split(",")
    if len(values) != len(columns):
        names = ", ".join(column.name for column in columns)
        raise NoRecordId(
            f"{text!r} is no key of {table.name}: it has {len(columns)} columns ({names}). "
            'Write a,b in that order, or a JSON array: ["a", "b"].'
        )
    return tuple(values)


def _only(text: str) -> str:
    values = _from_json(text) if text.lstrip().startswith("[") else []
    return values[0] if len(values) == 1 else text


def _from_json(text: str) -> list[str]:
    try:
        found = json.loads(text, parse_int=str, parse_float=str)
    except json.JSONDecodeError:
        return []
    if not isinstance(found, list):
        return []
    return [str(each).lower() if isinstance(each, bool) else str(each) for each in found]


def given_keys(
    keys: Sequence[tuple[str, ...]], table: Table, *, numbered: bool = False
) -> sql.Composed:
    """A relation with the key's columns, of their own types, from values given as text.

    The values are literals; PostgreSQL refuses (DataError) what is none of the type.

    Args:
        numbered: with a column `PLACE`, 1 for the first key.
    """
    columns = key_columns(table)
    arrays = [
        sql.SQL("{}::pg_catalog.text[]").format(
            Text("{" + ",".join(_element(key[place]) for key in keys) + "}")
        )
        for place in range(len(columns))
    ]
    names = [sql.Identifier(f"k{place}") for place in range(len(columns))]
    typed = [
        sql.SQL("g.{}::{} AS {}").format(
            name, Identifier(column.base_schema, column.base_name), Identifier(column.name)
        )
        for name, column in zip(names, columns, strict=True)
    ]
    if numbered:
        typed.append(sql.SQL("g.{}").format(PLACE))
    return sql.SQL("(SELECT {} FROM unnest({}) WITH ORDINALITY AS g ({}, {}))").format(
        sql.SQL(", ").join(typed), sql.SQL(", ").join(arrays), sql.SQL(", ").join(names), PLACE
    )


def _element(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def same_key(table: Table, one: str, other: str) -> sql.Composable:
    """The rows of two aliases have the same key, by the types' own equality."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} OPERATOR({}.=) {}").format(
            Identifier(one, column.name),
            Identifier(column.base_schema if column.base_kind == "base" else "pg_catalog"),
            Identifier(other, column.name),
        )
        for column in key_columns(table)
    )

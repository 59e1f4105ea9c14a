"""Whether a row refers to another through a foreign key, as PostgreSQL itself compares them."""

from __future__ import annotations

from psycopg import sql

from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Column, ForeignKey, Table

_POLYMORPHIC = ("enum", "array", "range", "multirange", "composite")
"""Their operators take any such type, and then no domain over one."""


def refers(key: ForeignKey, parent: Table, *, child: str, referred: str) -> sql.Composable:
    """The row of alias `child` refers to the row of alias `referred`; NULL for a NULL reference.

    With the constraint's own operators: another schema's `=` is not found by its name. Of a
    temporal key, a row refers to every row whose period it touches.

    Args:
        parent: the table that is referred to, a partition of it, or what it is a partition of.
    """
    return sql.SQL(" AND ").join(
        sql.SQL("{}{cast} {} {}{cast}").format(
            Identifier(referred, theirs),
            _operator(key, place),
            Identifier(child, ours),
            cast=_cast(parent.column(theirs)),
        )
        for place, (ours, theirs) in enumerate(
            zip(key.columns, key.referenced_columns, strict=True)
        )
    )


def same_key(table: Table, one: str, other: str) -> sql.Composable:
    """The rows of two aliases have the same key, whatever its types."""
    assert table.key is not None
    columns = [column for name in table.key.columns if (column := table.column(name))]
    return sql.SQL(" AND ").join(
        sql.SQL("{}{cast} OPERATOR({}.=) {}{cast}").format(
            Identifier(one, column.name),
            Identifier(column.base_schema if column.base_kind == "base" else "pg_catalog"),
            Identifier(other, column.name),
            cast=_cast(column),
        )
        for column in columns
    )


def _operator(key: ForeignKey, place: int) -> sql.Composable:
    if key.temporal and place == len(key.columns) - 1:
        return sql.SQL("OPERATOR(pg_catalog.&&)")
    schema, name = key.operators[place]
    # An operator's name has no letters and no quotes: PostgreSQL allows neither.
    return sql.SQL("OPERATOR({}.{})").format(Identifier(schema), sql.SQL(name))


def _cast(column: Column | None) -> sql.Composable:
    if column is None or column.base_kind not in _POLYMORPHIC:
        return sql.SQL("")
    return sql.SQL("::{}").format(Identifier(column.base_schema, column.base_name))

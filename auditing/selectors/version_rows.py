"""Versions as rows of the table as it is now, of which a condition on the table can be asked."""

from __future__ import annotations

from psycopg import sql

from auditing.selectors.images import Shape
from auditing.selectors.keys import record_id_of
from auditing.selectors.restorable import Restorable
from operations.catalogue.identifiers import Identifier
from operations.conditions.nodes import Condition
from operations.conditions.render import render

RECORD = sql.Identifier("custody:record")
"""A name that no condition can have."""


def version_rows(target: Restorable, where: sql.Composable) -> sql.Composable:
    """A query that gives each version `h` for which `where` holds as such a row.

    A value that does not fit its column any more, and one that is not kept, is NULL. To be used
    while `target.ready()` holds.
    """
    columns = {each.column.name: each for each in target.columns}
    values = []
    for column in target.table.columns:
        base = Identifier(column.base_schema, column.base_name)
        kept = columns.get(column.name)
        value = kept.value("h") if kept else sql.SQL("NULL")
        values.append(sql.SQL("{}::{} AS {}").format(value, base, Identifier(column.name)))
    return sql.SQL(
        "SELECT {oid}::pg_catalog.oid AS tableoid, {record} AS {named}, {values}"
        " FROM {history} h WHERE {where}"
    ).format(
        oid=sql.Literal(target.shape.tracked.table_oid),
        record=record_id_of(target.shape),
        named=RECORD,
        values=sql.SQL(", ").join(values),
        history=target.shape.history,
        where=where,
    )


def records_where(shape: Shape, target: Restorable, condition: Condition) -> sql.Composable:
    """A query for the record ids of which any version meets the condition, in their order."""
    return sql.SQL("SELECT DISTINCT t.{named} FROM ({rows}) t WHERE {met} ORDER BY 1").format(
        named=RECORD,
        rows=version_rows(target, sql.SQL("true")),
        met=render(condition, target.table, alias="t"),
    )

"""Why PostgreSQL did not take a row that was to be put back, with the row that is in its way."""

from __future__ import annotations

import re
from dataclasses import dataclass

import psycopg
from django.db import DatabaseError, connections, transaction
from psycopg import errors, sql

from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.identifiers import Identifier, quoted
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table, TableName
from operations.record_ids import NoRecordId, record_id

_OF_THE_ROW = ("22", "23", "27", "2F", "38", "39", "44", "P0")
"""Classes of SQLSTATE that a row brings about: its data, a constraint, a trigger."""
_KEY = re.compile(r"\((?P<columns>.*?)\)=\((?P<values>.*)\)", re.DOTALL)


@dataclass(frozen=True)
class Obstacle:
    """One thing that is in the way."""

    why: str
    """A sentence without its full stop."""
    constraint: str = ""
    table: str = ""
    """Of the row that is in the way, or that is missing."""
    record_id: str = ""
    """Of the row that is in the way, where there is one and it can be named."""
    may_come: bool = False
    """What is missing may come with a row that is put back later."""


def obstacle(error: DatabaseError, table: Table, *, using: str) -> Obstacle | None:
    """What the error says is in the way; None when it does not lie in the row.

    To be asked when the transaction works again: after its savepoint was rolled back to.
    """
    cause = error.__cause__
    if not isinstance(cause, psycopg.Error) or (cause.sqlstate or "")[:2] not in _OF_THE_ROW:
        return None
    if isinstance(cause, errors.UniqueViolation | errors.ExclusionViolation):
        return _taken(cause.diag, _at(cause.diag, table), using)
    if isinstance(cause, errors.ForeignKeyViolation):
        return _reference(cause.diag, _at(cause.diag, table), table)
    return Obstacle(_told(cause, table), cause.diag.constraint_name or "")


def _at(diag: psycopg.errors.Diagnostic, table: Table) -> TableName:
    return TableName(diag.schema_name or table.name.schema, diag.table_name or table.name.name)


def _told(cause: psycopg.Error, table: Table) -> str:
    diag, at = cause.diag, _at(cause.diag, table)
    elsewhere = "" if _is_of(at, table) else f" of {at}, through a trigger"
    match cause:
        case errors.NotNullViolation():
            column = quoted(diag.column_name or "")
            return f"its {column} is not kept or was NULL, and NOT NULL forbids that{elsewhere}"
        case errors.CheckViolation() if diag.constraint_name:
            return f"it breaks the check {quoted(diag.constraint_name)}{elsewhere}"
        case errors.CheckViolation():
            return f"no partition of {table.name} takes it: make one for it first"
        case psycopg.DataError():
            return f"a value does not fit its column any more: {diag.message_primary}"
    return f"the database refused it: {diag.message_primary}{elsewhere}"


def _taken(diag: psycopg.errors.Diagnostic, at: TableName, using: str) -> Obstacle:
    name, found = diag.constraint_name or "", _row_in_the_way(diag, at, using)
    which = f"the row {found}" if found else "another row"
    why = f"{which} of {at} has its place under the constraint {quoted(name)}{_key(diag)}"
    return Obstacle(why, name, str(at), found)


def _is_of(name: TableName, table: Table) -> bool:
    return name == table.name or name in table.leaves


def _reference(diag: psycopg.errors.Diagnostic, at: TableName, table: Table) -> Obstacle:
    detail, name = diag.message_detail or "", quoted(diag.constraint_name or "")
    if "still referenced" in detail or not _is_of(at, table):
        why = f"rows of {at} refer to it (the constraint {name}){_key(diag)}"
        return Obstacle(why, diag.constraint_name or "", str(at), may_come=True)
    keys = (each for each in table.foreign_keys if each.name == diag.constraint_name)
    key = next(keys, None)
    parent = str(key.references) if key else "another table"
    why = f"the row of {parent} that it refers to is missing (the constraint {name}){_key(diag)}"
    return Obstacle(why, diag.constraint_name or "", parent, may_come=True)


def _key(diag: psycopg.errors.Diagnostic) -> str:
    """`: (email)=(a@b.c)`, as PostgreSQL says it where the role may see the row."""
    found = _KEY.search((diag.message_detail or "").split(" conflicts ")[0])
    return f": ({found['columns']})=({found['values']})" if found else ""


def _row_in_the_way(diag: psycopg.errors.Diagnostic, at: TableName, using: str) -> str:
    """The record id of the row that has the key; empty when it cannot be told."""
    found = _KEY.search(diag.message_detail or "")
    if found is None:
        return ""
    try:
        table = read_table(at, using=using)
        named = record_id(table)
    except (NoRecordId, NoSuchTable):
        return ""
    key = next((each for each in table.keys if each.name == diag.constraint_name), None)
    values = [found["values"]] if key and len(key.columns) == 1 else found["values"].split(", ")
    if key is None or len(values) != len(key.columns):
        return ""
    query = sql.SQL("SELECT {} FROM {} t WHERE {}").format(
        named,
        table.name.sql,
        sql.SQL(" AND ").join(
            sql.SQL("{}::pg_catalog.text = {}").format(Identifier("t", name), sql.Literal(value))
            for name, value in zip(key.columns, values, strict=True)
        ),
    )
    typed = _typed(table, key.columns, values, named)
    for attempt in (typed, query):
        try:
            with transaction.atomic(using=using), connections[using].cursor() as cursor:
                cursor.execute(attempt)
                row = cursor.fetchone()
        except DatabaseError:
            continue
        if row:
            return str(row[0])
    return ""


def _typed(
    table: Table, names: tuple[str, ...], values: list[str], named: sql.Composable
) -> sql.Composable:
    """By the index of the key."""
    parts = []
    for name, value in zip(names, values, strict=True):
        column = table.column(name)
        assert column is not None
        parts.append(
            sql.SQL("{} = {}::{}").format(
                Identifier("t", name),
                sql.Literal(value),
                Identifier(column.base_schema, column.base_name),
            )
        )
    return sql.SQL("SELECT {} FROM {} t WHERE {}").format(
        named, table.name.sql, sql.SQL(" AND ").join(parts)
    )

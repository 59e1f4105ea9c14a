"""Whether a condition can be evaluated on a table: PostgreSQL itself judges every value."""

from __future__ import annotations

import re
from decimal import Decimal

import psycopg
from django.db import DataError, NotSupportedError, ProgrammingError, connections, transaction
from psycopg import sql

from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Column, Table
from operations.conditions.columns import known_column
from operations.conditions.describe import describe
from operations.conditions.exceptions import ConditionRefused
from operations.conditions.nodes import MATCHING, STATING, And, Comparison, Condition, Not, Now, Or
from operations.conditions.render import Text, plain_text, render

_NUMBERS = frozenset({"int2", "int4", "int8", "numeric", "float4", "float8"})
_MOMENTS = frozenset({"date", "timestamp", "timestamptz"})
_TIMES = re.compile(r"(date|time|timetz|timestamp|timestamptz)(\[\])?|(date|ts|tstz)(multi)?range")
_MOVING = re.compile(r"now|today|tomorrow|yesterday", re.IGNORECASE)


def check_condition(condition: Condition, table: Table, *, using: str = "default") -> None:
    """Returns when every column exists, every operator fits its type and every value is one of it.

    Needs no right on the table. Runs in a savepoint where a transaction is open.

    Raises:
        ConditionRefused: with PostgreSQL's own reason where it is PostgreSQL that refuses.
    """
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                check_condition(part, table, using=using)
        case Not(part):
            check_condition(part, table, using=using)
        case Comparison():
            _check(condition, table, known_column(table, condition.column), using)


def _check(comparison: Comparison, table: Table, column: Column, using: str) -> None:
    reason = _misfit(comparison, column)
    if reason:
        raise ConditionRefused(
            describe(comparison), f"{column.name} is of type {column.type}: {reason}"
        )
    if comparison.operator not in STATING:
        _probe(comparison, table, column, using)


def _misfit(comparison: Comparison, column: Column) -> str | None:
    if comparison.operator in STATING:
        stated = comparison.operator.removeprefix("is ").removeprefix("not ")
        if stated != "null" and column.base_type != "bool":
            return f"only a boolean is {stated}."
        return None
    if column.base_kind == "composite":
        return "only is null and is not null are understood."
    if comparison.operator in MATCHING and column.category != "S":
        return "only a text can be matched with a pattern."
    for value in comparison.values:
        is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
        if is_number and column.base_type == "bool":
            return "compare it with true or false."
        if is_number and column.base_type not in _NUMBERS:
            return "write the value in quotes."
        if isinstance(value, Now) and column.base_type not in _MOMENTS:
            return "only a date or timestamp can be compared with now()."
        if isinstance(value, bool) and column.base_type != "bool":
            return "only a boolean can be compared with true or false."
        moves = isinstance(value, str) and _MOVING.search(value)
        if moves and _TIMES.fullmatch(column.base_type):
            return "a fixed date or time, or now() with an interval, is needed."
    return None


def _probe(comparison: Comparison, table: Table, column: Column, using: str) -> None:
    """Evaluates the comparison itself, on a made-up row that holds its first value."""
    first = comparison.values[0]
    literal = sql.SQL("pg_catalog.now()") if isinstance(first, Now) else Text(plain_text(first))
    statement = sql.SQL("SELECT {} FROM (SELECT {}::{}{} AS {}) AS probe").format(
        render(comparison, table, alias="probe"),
        literal,
        Identifier(column.base_schema, column.base_name),
        sql.SQL(f" COLLATE {column.collation}" if column.collation else ""),
        Identifier(column.name),
    )
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            cursor.execute(statement)  # type: ignore[arg-type]
    except (DataError, NotSupportedError, ProgrammingError) as error:
        raise ConditionRefused(describe(comparison), _said(error)) from error


def _said(error: Exception) -> str:
    cause = error.__cause__
    message = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return f"PostgreSQL says: {message or error}."

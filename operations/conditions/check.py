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
from operations.conditions.nodes import (
    MATCHING,
    STATING,
    And,
    Comparison,
    Condition,
    Not,
    Now,
    Or,
    Scalar,
)
from operations.conditions.render import Text, plain_text, render

NUMBERS = frozenset({"int2", "int4", "int8", "numeric", "float4", "float8"})
MOMENTS = frozenset({"date", "timestamp", "timestamptz"})
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
    """Why the column's type does not take the operator or a value, where PostgreSQL might."""
    if comparison.operator in STATING:
        stated = comparison.operator.removeprefix("is ").removeprefix("not ")
        fits = stated == "null" or column.base_type == "bool"
        return None if fits else f"only a boolean is {stated}."
    if column.base_kind == "composite":
        return "only is null and is not null are understood."
    if comparison.operator in MATCHING and column.category != "S":
        return "only a text can be matched with a pattern."
    reasons = (_value_misfit(value, column) for value in comparison.values)
    return next((reason for reason in reasons if reason), None)


def _value_misfit(value: Scalar, column: Column) -> str | None:
    type_ = column.base_type
    match value:
        case Now() if type_ not in MOMENTS:
            return "only a date or timestamp can be compared with now()."
        case bool() if type_ != "bool":
            return "only a boolean can be compared with true or false."
        case int() | Decimal() if type_ == "bool" and not isinstance(value, bool):
            return "compare it with true or false."
        case int() | Decimal() if type_ not in NUMBERS | {"bool"}:
            return "write the value in quotes."
        case str() if _TIMES.fullmatch(type_) and _MOVING.search(value):
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
            cursor.execute(statement)
    except (DataError, NotSupportedError, ProgrammingError) as error:
        raise ConditionRefused(describe(comparison), _said(error)) from error


def _said(error: Exception) -> str:
    cause = error.__cause__
    message = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return f"PostgreSQL says: {message or error}."

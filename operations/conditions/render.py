"""A condition as SQL: the one place where it becomes any.

Columns are identifiers that the catalogue knows; values are literals, escaped by psycopg and cast
to the column's own type. Operators are named with their schema: the console's search_path does not
hold the types of extensions, and PostgreSQL would quietly take another operator.
"""

from __future__ import annotations

from decimal import Decimal

from psycopg import sql
from psycopg.abc import AdaptContext

from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Column, Table
from operations.conditions.columns import known_column
from operations.conditions.describe import describe
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

__all__ = ["delete_predicate", "describe", "render"]

_PATTERN_OPERATORS = {"like": "~~", "ilike": "~~*", "not like": "!~~", "not ilike": "!~~*"}
_TEXT = Identifier("pg_catalog", "text")


class Text(sql.Literal):
    """A text literal without a percent sign, which psycopg would take for a placeholder."""

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:
        text = str(self._obj)
        if "%" not in text:
            return super().as_bytes(context)
        escaped = text.replace("\\", "\\\\").replace("%", "\\0025").replace("'", "''")
        return f"U&'{escaped}'".encode()


def render(condition: Condition, table: Table, *, alias: str | None = None) -> sql.Composable:
    """The condition in parentheses, for rows of `table`, which is called `alias` where it stands.

    Raises:
        ConditionRefused: for a column that the table does not have.
    """
    match condition:
        case And(parts):
            return _joined(" AND ", parts, table, alias)
        case Or(parts):
            return _joined(" OR ", parts, table, alias)
        case Not(part):
            return sql.SQL("(NOT {})").format(render(part, table, alias=alias))
        case Comparison():
            return _comparison(condition, known_column(table, condition.column), alias)


def delete_predicate(
    condition: Condition, table: Table, *, alias: str | None = None
) -> sql.Composable:
    """True for the rows that the condition does not keep. Where it is NULL the row is kept."""
    return sql.SQL("({} IS FALSE)").format(render(condition, table, alias=alias))


def _joined(
    word: str, parts: tuple[Condition, ...], table: Table, alias: str | None
) -> sql.Composable:
    rendered = [render(part, table, alias=alias) for part in parts]
    return sql.SQL("({})").format(sql.SQL(word).join(rendered))


def _comparison(comparison: Comparison, column: Column, alias: str | None) -> sql.Composable:
    name: sql.Composable = (
        Identifier(column.name) if alias is None else Identifier(alias, column.name)
    )
    operator = comparison.operator
    if operator in STATING:
        return sql.SQL("({} {})").format(name, sql.SQL(operator.upper()))
    if column.kind == "domain" and column.base_kind == "enum":
        # PostgreSQL finds no operator for such a domain.
        name = sql.SQL("{}::{}").format(name, _base_type(column))
    values = [_value(value, column, comparison) for value in comparison.values]
    match operator:
        case "in" | "not in":
            return _listed(operator, name, column, values)
        case "between":
            return sql.SQL("({name} {above} {low} AND {name} {below} {high})").format(
                name=name,
                above=_operator(">=", column),
                low=values[0],
                below=_operator("<=", column),
                high=values[1],
            )
        # DISTINCT takes no schema for its operator; no value of ours is NULL.
        case "is distinct from":
            return sql.SQL("({name} IS NULL OR NOT {name} {equals} {value})").format(
                name=name, equals=_operator("=", column), value=values[0]
            )
        case "is not distinct from":
            return sql.SQL("({name} IS NOT NULL AND {name} {equals} {value})").format(
                name=name, equals=_operator("=", column), value=values[0]
            )
    symbol = _PATTERN_OPERATORS.get(operator, operator)
    return sql.SQL("({} {} {})").format(name, _operator(symbol, column), values[0])


def _listed(
    operator: str, name: sql.Composable, column: Column, values: list[sql.Composable]
) -> sql.Composable:
    symbol, word = ("=", " OR ") if operator == "in" else ("<>", " AND ")
    if column.base_kind == "array":
        # Arrays in an array would be its second dimension, not its elements.
        each = [
            sql.SQL("{} {} {}").format(name, _operator(symbol, column), value) for value in values
        ]
        return sql.SQL("({})").format(sql.SQL(word).join(each))
    quantifier = sql.SQL("ANY" if operator == "in" else "ALL")
    return sql.SQL("({} {} {} (ARRAY[{}]))").format(
        name, _operator(symbol, column), quantifier, sql.SQL(", ").join(values)
    )


def _operator(symbol: str, column: Column) -> sql.Composable:
    # An extension's operators stand beside its type; those of enums, arrays and ranges are general.
    schema = column.base_schema if column.base_kind == "base" else "pg_catalog"
    return sql.SQL("OPERATOR({}.{})").format(Identifier(schema), sql.SQL(symbol))


def _value(value: Scalar, column: Column, comparison: Comparison) -> sql.Composable:
    if isinstance(value, Now):
        if not value.offset:
            return sql.SQL("pg_catalog.now()")
        # The sign is the whole offset's, and '-1 day 12 hours' would subtract the day only.
        return sql.SQL("(pg_catalog.now() {} {}::pg_catalog.interval)").format(
            sql.SQL("-" if value.offset[0] == "-" else "+"), Text(value.offset[1:])
        )
    return sql.SQL("{}::{}").format(
        Text(plain_text(value)), _literal_type(value, column, comparison)
    )


def plain_text(value: str | int | Decimal | bool) -> str:
    """The value as PostgreSQL's types read it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _literal_type(value: Scalar, column: Column, comparison: Comparison) -> Identifier:
    """The base type without modifiers: a modifier would round or cut the value."""
    if comparison.operator in MATCHING and column.base_schema == "pg_catalog":
        # A pattern for char(n) keeps its blanks.
        return _TEXT
    if column.base_name == "float4" and not isinstance(value, str) and _is_single(comparison):
        # SQL compares a real with the number 0.1 as double precision; not so with a list of them.
        return Identifier("pg_catalog", "float8")
    return _base_type(column)


def _base_type(column: Column) -> Identifier:
    return Identifier(column.base_schema, column.base_name)


def _is_single(comparison: Comparison) -> bool:
    return comparison.operator == "between" or len(comparison.values) == 1

"""A condition as text for people, in the SQL that `parse_condition` reads back."""

from __future__ import annotations

from decimal import Decimal

from operations.catalogue.names import quoted
from operations.conditions.nodes import STATING, And, Comparison, Condition, Not, Now, Or, Scalar
from operations.conditions.words import CONNECTING


def describe(condition: Condition) -> str:
    """`status = 'open' AND NOT flagged`."""
    match condition:
        case And(parts):
            return " AND ".join(_part(part, Or) for part in parts)
        case Or(parts):
            return " OR ".join(_part(part, And) for part in parts)
        case Not(Comparison(column, "=", True)):
            return f"NOT {_name(column)}"
        case Not(part):
            return f"NOT ({describe(part)})"
        case Comparison():
            return _comparison(condition)


def _part(part: Condition, apart: type[And | Or]) -> str:
    return f"({describe(part)})" if isinstance(part, apart) else describe(part)


def _comparison(comparison: Comparison) -> str:
    name, words = _name(comparison.column), comparison.operator.upper()
    values = [_value(value) for value in comparison.values]
    if comparison.operator in STATING:
        return f"{name} {words}"
    if comparison.operator == "between":
        return f"{name} BETWEEN {values[0]} AND {values[1]}"
    if isinstance(comparison.value, tuple):
        return f"{name} {words} ({', '.join(values)})"
    if comparison.operator == "=" and comparison.value is True:
        return name
    return f"{name} {words} {values[0]}"


def _name(column: str) -> str:
    return f'"{column}"' if column in CONNECTING else quoted(column)


def _value(value: Scalar) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | Decimal():
            return str(value)
        case Now(""):
            return "now()"
        case Now(offset):
            return f"now() {offset[0]} interval '{offset[1:]}'"
        case str():
            escaped = value.replace("'", "''")
            return f"'{escaped}'"

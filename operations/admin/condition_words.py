"""What the lines of a condition offer, and which of it fits a column: for custody/condition.js."""

from __future__ import annotations

from operations.catalogue.types import Column, Table
from operations.conditions.check import MOMENTS, NUMBERS
from operations.conditions.lines import OPERATORS, UNITS
from operations.conditions.nodes import MATCHING

_STATED = ("is true", "is false", "is not true", "is not false")
_COMPARED = "number moment text other"


def column_choices(table: Table) -> list[tuple[str, str, str]]:
    """Name, type as one reads it, and kind: number, moment, text, bool or other."""
    return [(column.name, column.type, _kind(column)) for column in table.columns]


def operator_choices() -> list[tuple[str, str, str]]:
    """Operator, its words, and the kinds of column that it fits."""
    return [(name, words, _kinds(name)) for name, words in OPERATORS.items()]


def unit_choices() -> list[tuple[str, str, str]]:
    """Unit, its words, and the kinds of column that it fits."""
    return [
        (unit, words, "moment" if unit else f"bool {_COMPARED}") for unit, words in UNITS.items()
    ]


def _kind(column: Column) -> str:
    if column.base_type in NUMBERS:
        return "number"
    if column.base_type in MOMENTS:
        return "moment"
    if column.base_type == "bool":
        return "bool"
    return "text" if column.category == "S" else "other"


def _kinds(operator: str) -> str:
    if operator in MATCHING:
        return "text"
    if operator in _STATED:
        return "bool"
    # Whether a boolean equals true is better asked by `is true`.
    return f"bool {_COMPARED}" if operator in ("=", "is null", "is not null") else _COMPARED

"""From the lines of a form to a condition: every mistake is told at its line."""

from __future__ import annotations

import re
from decimal import Decimal

from operations.catalogue.types import Column, Table
from operations.conditions.check import NUMBERS, check_condition
from operations.conditions.columns import known_column
from operations.conditions.exceptions import ConditionRefused
from operations.conditions.lines import UNITS, Line, Lines, Operand, assembled
from operations.conditions.nodes import (
    LISTING,
    STATING,
    Comparison,
    Condition,
    Not,
    Now,
    Scalar,
    Value,
)
from operations.exceptions import UsageError

_WHOLE = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[Ee][+-]?[0-9]{1,4})?")

Place = tuple[int, int]
"""Number of the group and of the line in it, both from 0."""


class LinesRefused(UsageError):
    """What is wrong with which lines."""

    def __init__(self, problems: dict[Place, str]) -> None:
        self.problems = problems
        super().__init__(
            " ".join(
                f"Group {group + 1}, line {line + 1}: {reason}"
                for (group, line), reason in problems.items()
            )
        )


def lines_read(lines: Lines, table: Table, *, using: str = "default") -> Condition | None:
    """The condition that the lines say, judged by PostgreSQL; None when all of them are blank.

    Raises:
        LinesRefused: with the reasons by line.
    """
    problems: dict[Place, str] = {}

    def read(group: int, number: int, line: Line) -> Condition | None:
        if line.blank:
            return None
        try:
            condition = line_condition(line, table)
            check_condition(condition, table, using=using)
        except ConditionRefused as error:
            problems[group, number] = error.reason
            return None
        return condition

    condition = assembled(lines, read)
    if problems:
        raise LinesRefused(problems)
    return condition


def line_condition(line: Line, table: Table) -> Condition:
    """One line, its values read by the type of its column. Raises ConditionRefused."""
    if not line.column:
        raise ConditionRefused("...", "choose a column.")
    column = known_column(table, line.column)
    comparison = Comparison(column.name, line.operator, _value(line, column))
    return Not(comparison) if line.negated else comparison


def _value(line: Line, column: Column) -> Value:
    if line.operator in STATING:
        return None
    if line.operator in LISTING:
        values = [text for text in map(str.strip, line.first.text.splitlines()) if text]
        if not values:
            raise ConditionRefused(column.name, "give the values, one on each line.")
        return tuple(_scalar(Operand(text, line.first.unit), column) for text in values)
    if line.operator == "between":
        return _scalar(line.first, column), _scalar(line.second, column)
    return _scalar(line.first, column)


def _scalar(operand: Operand, column: Column) -> Scalar:
    text = operand.text.strip()
    if operand.unit:
        return _moment(text, operand.unit)
    if not text:
        raise ConditionRefused(column.name, "give a value to compare with.")
    if column.base_type == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if column.base_type in NUMBERS and _WHOLE.fullmatch(text):
        return int(text) if len(text) < 1_000 else text
    if column.base_type in NUMBERS and _DECIMAL.fullmatch(text):
        return Decimal(text)
    return text


def _moment(text: str, unit: str) -> Now:
    if unit not in UNITS:
        raise ConditionRefused(unit, "choose what the value is.")
    if unit == "now":
        return Now()
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ConditionRefused(text or unit, f"give a whole number of {unit[1:]}s, such as 30.")
    amount = int(text)
    return Now(f"{unit[0]}{amount} {unit[1:]}{'' if amount == 1 else 's'}")

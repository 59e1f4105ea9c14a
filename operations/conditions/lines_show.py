"""From a condition to the lines of a form, where lines say exactly the same."""

from __future__ import annotations

import re

from operations.catalogue.types import Table
from operations.conditions.exceptions import ConditionRefused
from operations.conditions.lines import UNITS, Group, Join, Line, Lines, Operand, assembled
from operations.conditions.lines_read import line_condition
from operations.conditions.nodes import STATING, And, Comparison, Condition, Not, Now, Or, Scalar

_OFFSET = re.compile(r"([+-])([0-9]+) (hour|day|week|month|year)s?")


def lines_show(condition: Condition, table: Table) -> Lines | None:
    """The lines that `lines_read` makes this very condition of; None when there are none."""
    lines = _lines(condition)
    if lines is None:
        return None
    try:
        said = assembled(lines, lambda _group, _number, line: line_condition(line, table))
    except ConditionRefused:
        return None
    return lines if said == condition else None


def _lines(condition: Condition) -> Lines | None:
    alone = _group(condition)
    if alone is not None:
        return Lines((alone,))
    if not isinstance(condition, And | Or):
        return None
    join: Join = "and" if isinstance(condition, And) else "or"
    groups: list[Group] = []
    for part in condition.parts:
        line, group = _line(part), _group(part)
        if line is not None and groups and groups[-1].join == join and not groups[-1].negated:
            # Lines that stand side by side are one group.
            groups[-1] = Group((*groups[-1].lines, line), join)
        elif line is not None:
            groups.append(Group((line,), join))
        elif group is not None:
            groups.append(group)
        else:
            return None
    return Lines(tuple(groups), join)


def _group(condition: Condition) -> Group | None:
    line = _line(condition)
    if line is not None:
        return Group((line,))
    match condition:
        case Not(And() | Or() as part):
            inner = _group(part)
            return None if inner is None else Group(inner.lines, inner.join, negated=True)
        case And(parts) | Or(parts):
            lines = [_line(part) for part in parts]
            found = tuple(line for line in lines if line is not None)
            join: Join = "and" if isinstance(condition, And) else "or"
            return Group(found, join) if len(found) == len(lines) else None
    return None


def _line(condition: Condition) -> Line | None:
    match condition:
        case Not(Comparison() as comparison):
            return _of(comparison, negated=True)
        case Comparison():
            return _of(condition, negated=False)
    return None


def _of(comparison: Comparison, *, negated: bool) -> Line:
    operands = [_operand(value) for value in comparison.values]
    if comparison.operator in STATING:
        first, second = Operand(), Operand()
    elif comparison.operator == "between":
        first, second = operands
    else:
        first = Operand("\n".join(each.text for each in operands), operands[0].unit)
        second = Operand()
    return Line(comparison.column, comparison.operator, negated, first, second)


def _operand(value: Scalar) -> Operand:
    if isinstance(value, Now):
        found = _OFFSET.fullmatch(value.offset)
        if found:
            return Operand(found[2], f"{found[1]}{found[3]}")
        return Operand("", "now" if not value.offset else next(iter(UNITS)))
    return Operand(str(value).lower() if isinstance(value, bool) else str(value))

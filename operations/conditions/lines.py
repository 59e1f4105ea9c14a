"""A condition as lines of a form: column, operator, value, in groups one level deep.

It is what a person builds without writing SQL. Not every condition can be shown so; the others are
written as text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from operations.conditions.nodes import And, Condition, Not, Or

Join = Literal["and", "or"]

OPERATORS: dict[str, str] = {
    "=": "= equals",
    "<>": "<> differs from",
    "<": "< less, before",
    "<=": "<= at most",
    ">": "> more, after",
    ">=": ">= at least",
    "between": "between",
    "in": "in: one of these",
    "not in": "not in: none of these",
    "is null": "is null (unknown)",
    "is not null": "is not null (known)",
    "is true": "is true",
    "is false": "is false",
    "is not true": "is not true",
    "is not false": "is not false",
    "like": "like (% is anything)",
    "not like": "not like",
    "ilike": "like, any capitals",
    "not ilike": "not like, any capitals",
    "is distinct from": "differs from, or is null",
    "is not distinct from": "equals, and is not null",
}
"""Every operator, in the order and the words in which it is offered."""

UNITS: dict[str, str] = {
    "": "as it is",
    "now": "now",
    **{f"-{unit}": f"{unit}s ago" for unit in ("hour", "day", "week", "month", "year")},
    **{f"+{unit}": f"{unit}s from now" for unit in ("hour", "day", "week", "month", "year")},
}
"""What the text of a value is: itself, or a distance from now."""


@dataclass(frozen=True)
class Operand:
    """A value as it is typed; a list has one on each line of the text."""

    text: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Line:
    column: str = ""
    operator: str = "="
    negated: bool = False
    first: Operand = Operand()
    second: Operand = Operand()
    """Of `between` only."""

    @property
    def blank(self) -> bool:
        return not self.column and not self.first.text.strip()


@dataclass(frozen=True)
class Group:
    lines: tuple[Line, ...] = (Line(),)
    join: Join = "and"
    negated: bool = False


@dataclass(frozen=True)
class Lines:
    groups: tuple[Group, ...] = (Group(),)
    join: Join = "and"


def assembled(lines: Lines, read: Callable[[int, int, Line], Condition | None]) -> Condition | None:
    """The lines as one condition; `read` tells what a line says, by its group's and its number.

    None when no line says anything.
    """
    groups: list[Condition] = []
    for group_number, group in enumerate(lines.groups):
        said = [read(group_number, number, line) for number, line in enumerate(group.lines)]
        whole = _joined([part for part in said if part is not None], group.join)
        if whole is not None:
            groups.append(Not(whole) if group.negated else whole)
    return _joined(groups, lines.join)


def _joined(parts: list[Condition], join: Join) -> Condition | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    return And(tuple(parts)) if join == "and" else Or(tuple(parts))

"""A condition on the rows of one table: what it can say, and nothing else.

It compares columns with fixed values. That no value ever becomes SQL text is `render`'s duty, that
columns exist and values fit is `check_condition`'s; here only the shape is guarded, whoever builds
it: the parser, the admin, a file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from operations.conditions.exceptions import ConditionRefused

COMPARING = frozenset({"=", "<>", "<", "<=", ">", ">=", "is distinct from", "is not distinct from"})
MATCHING = frozenset({"like", "ilike", "not like", "not ilike"})
LISTING = frozenset({"in", "not in"})
STATING = frozenset(
    {"is null", "is not null", "is true", "is false", "is not true", "is not false"}
)
OPERATORS = COMPARING | MATCHING | LISTING | STATING | {"between"}

MAX_DEPTH = 30
"""How deep and, or and not may be nested; a comparison alone has the depth 0."""
MAX_TEXT = 100_000
MAX_DIGITS = 1_000

_UNIT = r"[0-9]{1,9} (?:second|minute|hour|day|week|month|year)s?"
_OFFSET = re.compile(rf"[+-]{_UNIT}(?: {_UNIT})*")


@dataclass(frozen=True)
class Now:
    """The start of the transaction, moved by an offset such as `-30 days` or `+1 year 6 months`.

    The sign is the whole offset's: `-1 day 12 hours` is a day and a half ago.
    """

    offset: str = ""

    def __post_init__(self) -> None:
        if self.offset and not _OFFSET.fullmatch(self.offset):
            raise ConditionRefused(
                self.offset,
                "an interval is written in whole numbers and units, such as 30 days, 6 months or "
                "1 year 12 hours.",
            )


Scalar = str | int | Decimal | bool | Now
Value = Scalar | tuple[Scalar, ...] | None


@dataclass(frozen=True)
class Comparison:
    """One column, one of OPERATORS, and what the operator takes.

    LISTING takes a tuple of at least one value, `between` a tuple of two, STATING None, every
    other one value.
    """

    column: str
    operator: str
    value: Value = None

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise ConditionRefused(
                self.operator, f"the operators are {', '.join(sorted(OPERATORS))}."
            )
        piece = f"{self.column} {self.operator}"
        if self.operator in STATING:
            if self.value is not None:
                raise ConditionRefused(piece, "this operator takes no value.")
            return
        if self.operator in LISTING or self.operator == "between":
            if not isinstance(self.value, tuple) or not self.value:
                raise ConditionRefused(piece, "this operator takes a list of values.")
            if self.operator == "between" and len(self.value) != 2:
                raise ConditionRefused(piece, "between takes two values.")
        elif isinstance(self.value, tuple):
            raise ConditionRefused(piece, "this operator takes one value, not a list.")
        for value in self.values:
            self._guard(piece, value)

    def _guard(self, piece: str, value: object) -> None:
        if value is None:
            raise ConditionRefused(piece, "NULL is no value: use is null or is not null.")
        if not isinstance(value, str | int | Decimal | Now):
            raise ConditionRefused(piece, f"{value!r} is no text, number, boolean or now().")
        if isinstance(value, str):
            guard_text(value)
        if isinstance(value, Decimal) and not value.is_finite():
            raise ConditionRefused(piece, f"write '{value}' as a text.")
        if isinstance(value, int | Decimal) and _digits(value) > MAX_DIGITS:
            raise ConditionRefused(piece, f"a number has at most {MAX_DIGITS} digits.")
        if self.operator in LISTING and isinstance(value, Now):
            raise ConditionRefused(piece, "now() in a list is not understood: use or.")
        if self.operator in MATCHING:
            if not isinstance(value, str):
                raise ConditionRefused(piece, "a pattern is a text, in quotes.")
            if (len(value) - len(value.rstrip("\\"))) % 2:
                raise ConditionRefused(piece, "a pattern cannot end with a lone backslash.")

    @property
    def values(self) -> tuple[Scalar, ...]:
        if isinstance(self.value, tuple):
            return self.value
        return () if self.operator in STATING else (self.value,)  # type: ignore[return-value]


@dataclass(frozen=True)
class And:
    """All of at least two parts; an And in an And is taken apart: they say the same."""

    parts: tuple[Condition, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _joined(self.parts, And))


@dataclass(frozen=True)
class Or:
    """One of at least two parts; an Or in an Or is taken apart: they say the same."""

    parts: tuple[Condition, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _joined(self.parts, Or))


@dataclass(frozen=True)
class Not:
    part: Condition


Condition = Comparison | And | Or | Not


def _joined(parts: tuple[Condition, ...], kind: type[And | Or]) -> tuple[Condition, ...]:
    joined: list[Condition] = []
    for part in parts:
        joined.extend(part.parts if isinstance(part, kind) else (part,))
    if len(joined) < 2:
        raise ConditionRefused(kind.__name__.lower(), "it joins at least two conditions.")
    return tuple(joined)


def depth(condition: Condition) -> int:
    match condition:
        case And(parts) | Or(parts):
            return 1 + max(depth(part) for part in parts)
        case Not(part):
            return 1 + depth(part)
    return 0


def guard_text(text: str) -> None:
    """Raises ConditionRefused for a text that PostgreSQL cannot hold, or that is too long."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ConditionRefused(
            ascii(text), "a text cannot hold the character NUL or half a character."
        )
    if len(text) > MAX_TEXT:
        raise ConditionRefused(text, f"a text has at most {MAX_TEXT} characters.")


def _digits(number: int | Decimal) -> int:
    if isinstance(number, int):
        # The base 2 logarithm: an int of thousands of digits is slow, or refuses, to be printed.
        return number.bit_length() * 30103 // 100_000
    _, digits, exponent = number.as_tuple()
    return len(digits) + abs(int(exponent))


def columns_named(condition: Condition) -> frozenset[str]:
    """Every column that the condition compares."""
    match condition:
        case And(parts) | Or(parts):
            return frozenset().union(*(columns_named(part) for part in parts))
        case Not(part):
            return columns_named(part)
        case Comparison():
            return frozenset({condition.column})

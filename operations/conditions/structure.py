"""A condition as a structure: its parts, and the same as JSON, for a model or a file.

    {"and": [{"column": "status", "operator": "=", "value": "open"},
             {"not": {"column": "seen_at", "operator": "<", "value": {"now": "-30 days"}}}]}

A value is a text, a whole number, true or false; {"number": "1.50"}, exact; {"now": "-30 days"};
for `in`, `not in` and `between` a list of these.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from operations.conditions.exceptions import ConditionRefused
from operations.conditions.nodes import (
    MAX_DEPTH,
    STATING,
    And,
    Comparison,
    Condition,
    Not,
    Now,
    Or,
    Scalar,
    Value,
)

__all__ = ["And", "Comparison", "Condition", "Not", "Now", "Or", "from_json", "to_json"]

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(E[+-]?[0-9]{1,4})?", re.IGNORECASE)


def to_json(condition: Condition) -> dict[str, Any]:
    """The condition as dicts, lists and plain values."""
    match condition:
        case And(parts):
            return {"and": [to_json(part) for part in parts]}
        case Or(parts):
            return {"or": [to_json(part) for part in parts]}
        case Not(part):
            return {"not": to_json(part)}
        case Comparison(column, operator, _) if operator in STATING:
            return {"column": column, "operator": operator}
        case Comparison(column, operator, tuple(values)):
            return {"column": column, "operator": operator, "value": [_plain(v) for v in values]}
        case Comparison(column, operator, value):
            return {"column": column, "operator": operator, "value": _plain(value)}


def _plain(value: Any) -> Any:
    match value:
        case Now(offset):
            return {"now": offset}
        case Decimal():
            return {"number": str(value)}
    return value


def from_json(document: object, *, depth: int = 0) -> Condition:
    """The condition that `to_json` wrote, or that somebody wrote like it.

    Raises:
        ConditionRefused: for any key, operator or value that is not known.
    """
    if depth > MAX_DEPTH:
        raise ConditionRefused("...", f"it is nested more than {MAX_DEPTH} deep.")
    if not isinstance(document, dict):
        raise _refused(document, "a condition is an object.")
    match list(document):
        case ["and"]:
            return And(_parts(document["and"], depth))
        case ["or"]:
            return Or(_parts(document["or"], depth))
        case ["not"]:
            return Not(from_json(document["not"], depth=depth + 1))
    return _comparison(document)


def _parts(documents: object, depth: int) -> tuple[Condition, ...]:
    if not isinstance(documents, list):
        raise _refused(documents, "and and or hold a list of conditions.")
    return tuple(from_json(document, depth=depth + 1) for document in documents)


def _comparison(document: dict[Any, Any]) -> Comparison:
    unknown = document.keys() - {"column", "operator", "value"}
    if unknown or not {"column", "operator"} <= document.keys():
        raise _refused(document, "its keys are and; or; not; or column, operator and value.")
    column, operator = document["column"], document["operator"]
    if not isinstance(column, str) or not isinstance(operator, str):
        raise _refused(document, "column and operator are texts.")
    return Comparison(column, operator, _value(document["value"]) if "value" in document else None)


def _value(value: object) -> Value:
    if isinstance(value, list):
        return tuple(_scalar(each) for each in value)
    return _scalar(value)


def _scalar(value: object) -> Scalar:
    match value:
        case None:
            raise _refused(None, "null is no value: use the operator is null or is not null.")
        case str() | int():
            return value
        case float():
            return Decimal(repr(value))
        case {"now": str(offset), **others} if not others:
            return Now(offset)
        case {"number": str(number), **others} if not others and _NUMBER.fullmatch(number):
            return Decimal(number)
    raise _refused(
        value,
        'a value is a text, a number, true, false, {"number": "1.50"} or {"now": "-30 days"}.',
    )


def _refused(piece: object, reason: str) -> ConditionRefused:
    return ConditionRefused("null" if piece is None else str(piece), reason)

"""The condition that a row has what was asked for, column by column, and how well.

The text is a bound value, and its wildcards are literals; where a statement takes no bound values
(COPY) it is a literal, escaped by psycopg.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from psycopg import sql

from operations.asked import MOMENTS, TEXTS, WHOLE, Asked, literal
from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Column
from operations.conditions.render import Text
from operations.finding import Fit
from operations.masking_words import words
from operations.readable import identifies, is_secret

Bind = Callable[[str], sql.Composable]
DOCUMENTS = frozenset({"json", "jsonb", "_text", "_varchar"})
_PHONES = frozenset({"phone", "mobile", "tel", "telephone", "fax", "msisdn", "cell"})
_NUMBERS = frozenset({"numeric", "float4", "float8"})
_SPECIAL, _ESCAPED = re.compile(r"([\[\](){}.*+?^$|\\])"), r"\\\1"
_SHOWN = 300
"""Characters of a value that are looked at again to say how well it fits."""


@dataclass(frozen=True)
class Field:
    """A column as it is asked, wherever its values lie."""

    name: str
    value: sql.Composable
    type: str
    """The base type's own name: `text`, `int4`, `_text` for an array of texts."""
    telling: bool
    """People know a row by it."""

    @property
    def phone(self) -> bool:
        return bool(words(self.name) & _PHONES)


def column_field(column: Column, alias: str = "t") -> Field | None:
    """None for a column that nobody may look into: it opens something."""
    if is_secret(column):
        return None
    base = column.base_name if column.base_kind in ("base", "array") else "enum"
    return Field(column.name, Identifier(alias, column.name), base, identifies(column))


def placeholder(name: str) -> sql.Composable:
    return sql.Placeholder(name)


def values(asked: Asked) -> dict[str, Any]:
    """What the placeholders of conditions stand for."""
    found: dict[str, Any] = {
        "text": asked.text,
        "cases": asked.cases,
        "whole": f"%{literal(asked.text)}%",
        "words": [f"%{literal(word)}%" for word in asked.words],
        "document": f"%{literal(json.dumps(asked.text, ensure_ascii=False)[1:-1])}%",
        "digits": f"%{asked.digits}%",
        "alone": [rf"(^|\W){_SPECIAL.sub(_ESCAPED, word)}(\W|$)" for word in asked.words],
        "number": f"(^|[^0-9]){asked.number}([^0-9]|$)",
        "integer": str(asked.integer),
        "decimals": [str(each) for each in asked.decimals],
        "uuid": asked.uuid,
        "address": asked.address,
        "day": asked.day.isoformat() if asked.day else "",
    }
    if asked.span:
        begins, ends = asked.span.local
        found |= {"begins": asked.span.begins.isoformat(), "ends": asked.span.ends.isoformat()}
        found |= {"local_begins": begins.isoformat(), "local_ends": ends.isoformat()}
    return found


def literals(asked: Asked) -> Bind:
    """In place of placeholders, for statements that take none."""
    known = values(asked)

    def bind(name: str) -> sql.Composable:
        value = known[name]
        if not isinstance(value, list):
            return Text(value)
        return sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join(map(Text, value)))

    return bind


def equals(field: Field, asked: Asked, bind: Bind = placeholder) -> sql.Composable | None:
    """The column has the value itself, so that an index of it serves; None: it cannot."""
    if field.type in TEXTS:
        # Of an extension's type the operators are nowhere on the path.
        value = _text(field) if field.type == "citext" else field.value
        return _written("{} = ANY ({}::pg_catalog.text[])", value, bind("cases"))
    return _typed(field, asked, bind)


def meets(
    field: Field, asked: Asked, *, deep: bool = False, bind: Bind = placeholder
) -> sql.Composable | None:
    """The row's value answers; None: a column of this type and name is not asked at this depth."""
    if field.type in TEXTS:
        return _in_text(field, asked, bind) if field.telling or deep else None
    if field.type in DOCUMENTS:
        if not deep or not asked.inside:
            return None
        if asked.number:
            return _in_text(field, asked, bind)
        whole = bind("document" if "json" in field.type else "whole")
        return _written("{} ILIKE {}::pg_catalog.text", _text(field), whole)
    if deep or (field.type in WHOLE and not field.telling):
        # Any small number stands in a thousand rows.
        return None
    return _typed(field, asked, bind)


def any_of(conditions: Iterable[sql.Composable]) -> sql.Composable:
    return sql.SQL("({})").format(sql.SQL(" OR ").join(conditions))


def shown_value(field: Field) -> sql.Composable:
    """Enough of the value to say how well it fits."""
    return sql.SQL("pg_catalog.left({}, {})").format(_text(field), sql.Literal(_SHOWN))


def fit_of(field: Field, text: str, asked: Asked, *, deep: bool = False) -> Fit:
    """How well a value answers that met the condition."""
    if field.type not in TEXTS:
        return (
            Fit.DEEP
            if deep or field.type in DOCUMENTS
            else Fit.EXACT
            if field.telling
            else Fit.REFERS
        )
    value, wanted = text.casefold().strip(), asked.text.casefold()
    if value == wanted:
        return Fit.EXACT if field.telling else Fit.REFERS
    if not field.telling:
        return Fit.DEEP
    if field.phone and asked.digits and wanted not in value:
        return Fit.WORD if _digits(value).endswith(asked.digits) else Fit.INSIDE
    words = [re.escape(word.casefold()) for word in asked.words]
    if all(re.search(rf"(?<!\w){word}(?!\w)", value) for word in words):
        return Fit.WORD
    return Fit.BEGINS if re.search(rf"(?<!\w){words[0]}", value) else Fit.INSIDE


def rank(fields: Sequence[Field], bind: Bind = placeholder) -> sql.Composable | None:
    """0 for a row with a telling text that is the whole text, 1 for one in which it stands in words
    of its own, 2 for others; None: no such texts are among the fields."""
    texts = [each for each in fields if each.telling and each.type in TEXTS]
    if not texts:
        return None
    whole = "pg_catalog.lower({}) = pg_catalog.lower({}::pg_catalog.text)"
    alone = "{} ~* ALL ({}::pg_catalog.text[])"
    return sql.SQL("CASE WHEN {} THEN 0 WHEN {} THEN 1 ELSE 2 END").format(
        any_of([_written(whole, _text(each), bind("text")) for each in texts]),
        any_of([_written(alone, _text(each), bind("alone")) for each in texts]),
    )


def best_fit(found: Sequence[tuple[Field, str]], asked: Asked, *, deep: bool = False) -> Fit:
    return min((fit_of(field, text, asked, deep=deep) for field, text in found), default=Fit.DEEP)


def _in_text(field: Field, asked: Asked, bind: Bind) -> sql.Composable:
    if not asked.inside:
        return _written(
            "pg_catalog.lower({}) = pg_catalog.lower({}::pg_catalog.text)",
            _text(field),
            bind("text"),
        )
    if asked.number:
        # Tried on what holds the digits at all.
        return _written(
            "({0} LIKE {1}::pg_catalog.text AND {0} ~ {2}::pg_catalog.text)",
            _text(field),
            bind("whole"),
            bind("number"),
        )
    if not field.telling:
        return _written("{} ILIKE {}::pg_catalog.text", _text(field), bind("whole"))
    found = _written("{} ILIKE ALL ({}::pg_catalog.text[])", _text(field), bind("words"))
    if not (field.phone and asked.digits):
        return found
    digits = _written(
        "pg_catalog.translate({}, ' +-()./', '') LIKE {}::pg_catalog.text",
        _text(field),
        bind("digits"),
    )
    return any_of([found, digits])


def _typed(field: Field, asked: Asked, bind: Bind) -> sql.Composable | None:
    base = field.type
    if base in MOMENTS:
        return _moment(field, asked, bind)
    if base in _NUMBERS:
        numbers = bind("decimals")
        listed = _written("{} = ANY ({}::pg_catalog.{}[])", field.value, numbers, sql.SQL(base))
        return listed if asked.decimals else None
    given = {"uuid": asked.uuid, "inet": asked.address}.get(base, "")
    if base in WHOLE and asked_fits(asked, base):
        given = str(asked.integer)
    names = {"uuid": "uuid", "inet": "address"}
    return _cast("=", field, base, bind(names.get(base, "integer"))) if given else None


def is_value(field: Field, text: str, asked: Asked) -> bool:
    """A value of no text's type, as PostgreSQL prints it, is what was asked for."""
    if field.type in WHOLE:
        return text == str(asked.integer)
    if field.type in _NUMBERS:
        try:
            return Decimal(text) in asked.decimals
        except InvalidOperation:
            return False
    if field.type in MOMENTS:
        return text[:10] in asked.days
    if field.type == "uuid":
        return bool(asked.uuid) and text.replace("-", "") == asked.uuid
    return bool(asked.address) and text == asked.address


def asked_fits(asked: Asked, base: str) -> bool:
    """The number is one of this type."""
    bits = {"int2": 15, "int4": 31, "int8": 63}[base]
    return asked.integer is not None and -(2**bits) <= asked.integer < 2**bits


def _moment(field: Field, asked: Asked, bind: Bind) -> sql.Composable | None:
    if asked.span is None:
        return None
    if field.type == "date":
        return _cast("=", field, "date", bind("day")) if asked.day else None
    local = "" if field.type == "timestamptz" else "local_"
    return sql.SQL("({} AND {})").format(
        _cast(">=", field, field.type, bind(f"{local}begins")),
        _cast("<", field, field.type, bind(f"{local}ends")),
    )


def _cast(operator: str, field: Field, base: str, value: sql.Composable) -> sql.Composable:
    return sql.SQL("{} {} {}::pg_catalog.{}").format(
        field.value, sql.SQL(operator), value, sql.SQL(base)
    )


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter in "0123456789")


def _text(field: Field) -> sql.Composable:
    return sql.SQL("{}::pg_catalog.text").format(field.value)


def _written(text: str, *parts: sql.Composable) -> sql.Composable:
    return sql.SQL(text).format(*parts)

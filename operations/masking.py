"""What of a row may be shown to somebody who only has to recognise what kind of row it is.

Invariant: what is not known to be harmless is masked. A number, a date, a truth value, an enum's
label and a UUID are shown, and a code such as `page_view` in a column that is named like one; of
any other text only its first letter and its length, of a mail address `a***@e***.com`. Where a
name says that the value is a person's or a secret, nothing is shown. A row's own key is shown
unless it looks personal itself. JSON, arrays and composites are masked inside.
"""

from __future__ import annotations

import json
import re
from typing import Any

from operations.catalogue.types import Column
from operations.masking_words import CODES, DATES_OF_LIFE, PERSONAL, words

HIDDEN = "***"
LONGEST = 120
"""Characters of what is shown."""
_ELEMENTS = 8
"""Of an array or an object."""
_DIGITS = 9
"""A number of as many digits may be a telephone's, a card's or an account's."""

_MAIL = re.compile(r"([^@\s]+)@([^@\s]+)\.([A-Za-z]{2,})")
_ADDRESS = re.compile(
    r"\d{1,3}(\.\d{1,3}){3}(/\d+)?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/\d+)?"
)
_PHONE = re.compile(r"\+?[\d\s()./-]{7,}")
_CODE = re.compile(r"[a-z][a-z0-9]*([_.:-][a-z0-9]+)*", re.IGNORECASE)
_KEY = re.compile(r"(?=.*\d)[A-Za-z0-9][A-Za-z0-9_.:/-]*")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?")
_LONGEST_CODE = 40
_RANGES = frozenset({"int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"})
_DOCUMENTS = frozenset({"json", "jsonb"})


def is_document(column: Column) -> bool:
    """Its values are to be given as JSON: they are masked part by part."""
    return column.base_type in _DOCUMENTS or column.base_kind in ("array", "composite")


def masked(text: str | None, column: Column, *, key: bool = False) -> str | None:
    """What may be shown of one value; None stays None.

    Args:
        text: the value as PostgreSQL prints it; as JSON when `is_document`.
        key: the column is of the row's own key, by which people know the row.
    """
    if text is None:
        return None
    if is_document(column):
        return _shortened(_document(text, column.name))
    if column.category == "S":
        return _shortened(_text(text, column.name, key=key))
    return _shortened(_typed(text, column, key=key))


def _typed(text: str, column: Column, *, key: bool) -> str:
    """Of a type that tells what its values are."""
    named = words(column.name)
    if column.category == "D":
        return HIDDEN if named & DATES_OF_LIFE else text
    if column.category in ("B", "T"):
        return text
    if column.category == "I":
        return _address(text)
    if named & PERSONAL:
        return HIDDEN
    if column.category == "N":
        return text if key else _number(text)
    harmless = column.base_kind == "enum" or column.base_type == "uuid"
    return text if harmless or column.base_type in _RANGES else HIDDEN


def _number(text: str) -> str:
    return (
        HIDDEN
        if sum(letter.isdigit() for letter in text.split(".", maxsplit=1)[0]) >= _DIGITS
        else text
    )


def _address(text: str) -> str:
    """The first group of an IP address, which names a network at most."""
    first = re.split(r"[.:]", text, maxsplit=1)[0]
    return f"{first}{'.' if '.' in text else ':'}{HIDDEN}"


def _text(text: str, name: str, *, key: bool = False) -> str:
    mail = _MAIL.fullmatch(text)
    if mail:
        person, host, end = mail.groups()
        return f"{person[0]}{HIDDEN}@{host[0]}{HIDDEN}.{end}"
    if words(name) & (PERSONAL | DATES_OF_LIFE):
        return HIDDEN
    if _ADDRESS.fullmatch(text):
        return _address(text)
    if _is_phone(text):
        return HIDDEN
    return text if _is_harmless(text, name, key=key) else _unknown(text)


def _is_phone(text: str) -> bool:
    digits = sum(map(str.isdigit, text))
    return digits >= 7 and bool(_PHONE.fullmatch(text)) and not _MOMENT.fullmatch(text)


def _is_harmless(text: str, name: str, *, key: bool) -> bool:
    if _MOMENT.fullmatch(text) or _UUID.fullmatch(text):
        return True
    if len(text) > _LONGEST_CODE:
        return False
    if key and _KEY.fullmatch(text):
        return True
    # A long number in a code may be somebody's.
    named = bool(words(name, last=True) & CODES)
    return named and bool(_CODE.fullmatch(text)) and not re.search(r"\d{5}", text)


def _unknown(text: str) -> str:
    if not text:
        return ""
    length = f"({len(text):,} character{'' if len(text) == 1 else 's'})"
    return f"{text[0] if len(text) > 3 else ''}{HIDDEN} {length}"


def _document(text: str, name: str) -> str:
    try:
        return json.dumps(_inside(json.loads(text), name), ensure_ascii=False)
    except (ValueError, RecursionError):
        # Cut off, or nested deeper than anybody reads.
        return HIDDEN


def _inside(value: Any, name: str) -> Any:
    match value:
        case dict():
            parts = list(value.items())
            shown = {_field(k): _inside(v, f"{name}_{k}") for k, v in parts[:_ELEMENTS]}
            return shown | ({"…": f"{len(parts) - _ELEMENTS} more"} if parts[_ELEMENTS:] else {})
        case list():
            more = [f"… {len(value) - _ELEMENTS} more"] if value[_ELEMENTS:] else []
            return [_inside(each, name) for each in value[:_ELEMENTS]] + more
        case None | bool():
            return value
        case int() | float():
            hidden = words(name) & (PERSONAL | DATES_OF_LIFE) or _number(str(value)) == HIDDEN
            return HIDDEN if hidden else value
    return _text(str(value), name)


def _field(name: str) -> str:
    """A field's name, unless it is somebody's address or number."""
    return name if _CODE.fullmatch(name) and len(name) <= _LONGEST_CODE else HIDDEN


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

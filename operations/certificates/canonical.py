"""The one form in which a JSON value is signed: RFC 8785 without its numbers with a fraction.

Keys sorted by their UTF-16 code units, no spaces, the shortest escapes, UTF-8. The same value gives
the same bytes everywhere, also after PostgreSQL's jsonb has put the keys in an order of its own.
"""

from __future__ import annotations

import json
from typing import Any

from operations.exceptions import CustodyError


class NotCanonical(CustodyError):
    """A value that has no single form, or that PostgreSQL cannot keep."""


def canonical(value: object) -> bytes:
    """`value` as bytes to be signed.

    Takes dicts with text keys, lists, text, whole numbers, True, False and None.

    Raises:
        NotCanonical: anything else, such as a float, a date, or text with a NUL in it.
    """
    return json.dumps(
        _checked(value, "the value"), ensure_ascii=False, separators=(",", ":")
    ).encode()


def read_json(text: str) -> Any:
    """What a JSON text says. Raises NotCanonical when it can be read in more than one way."""
    try:
        return json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise NotCanonical(f"It is not JSON: {error}.") from error


def _checked(value: object, where: str) -> object:
    match value:
        case None | bool() | int():
            return value
        case str():
            return _checked_text(value, where)
        case list() | tuple():
            return [_checked(item, f"{where}[{i}]") for i, item in enumerate(value)]
        case dict():
            for key in value:
                if not isinstance(key, str):
                    raise NotCanonical(f"{where} has the key {key!r}, which is not text.")
                _checked_text(key, f"a key of {where}")
            ordered = sorted(value, key=lambda key: key.encode("utf-16-be"))
            return {key: _checked(value[key], f"{where}.{key}") for key in ordered}
        case _:
            raise NotCanonical(
                f"{where} is a {type(value).__name__}: only text, whole numbers, true, false, "
                "null, lists and objects can be signed. Write it as text."
            )


def _checked_text(text: str, where: str) -> str:
    if "\0" in text:
        raise NotCanonical(f"{where} has a NUL character, which PostgreSQL cannot keep.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise NotCanonical(f"{where} has half of a surrogate pair, which is no text.") from error
    # Subclasses such as Django's SafeString and TextChoices would be written as they please.
    return str.__str__(text)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotCanonical("It is not a certificate: an object in it has a key twice.")
    return found


def _refuse_constant(name: str) -> Any:
    raise NotCanonical(f"It is not a certificate: {name} is not JSON.")

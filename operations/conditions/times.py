"""Reading now(), and an interval before or after it."""

from __future__ import annotations

import re

from operations.conditions.nodes import Now
from operations.conditions.reader import Reader

_QUANTITIES = re.compile(r"\s*(?:[0-9]+\s*[A-Za-z]+\s*)+")
_QUANTITY = re.compile(r"([0-9]+)\s*([A-Za-z]+)")


def at_now(reader: Reader) -> bool:
    called = reader.at_words("now") and [reader.after(place).text for place in (1, 2)] == ["(", ")"]
    return called or reader.at_words("current_timestamp")


def read_now(reader: Reader) -> Now:
    if not reader.took_words("current_timestamp"):
        for _ in ("now", "(", ")"):
            reader.take()
    if reader.next.kind != "sign":
        return Now()
    return Now(reader.take().text + _interval(reader))


def _interval(reader: Reader) -> str:
    lexeme = reader.next
    if reader.took_words("interval") and reader.next.kind == "string":
        text = reader.take().text
    elif lexeme.kind == "string" and reader.after().text == "::":
        text = reader.take().text
        reader.take()
        if not reader.took_words("interval"):
            raise reader.refused(reader.next, "only an interval can be added to now().")
    else:
        raise reader.refused(lexeme, "after now() write + or - interval '30 days'.")
    if not _QUANTITIES.fullmatch(text):
        # Now refuses it too; here the interval is shown as it was written.
        raise reader.refused(
            lexeme, "write the interval in whole numbers and units, such as '30 days'."
        )
    return " ".join(f"{int(n)} {unit.lower()}" for n, unit in _QUANTITY.findall(text))

"""A record id as one part of an address, whatever characters it has."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[A-Za-z0-9-]")
_MARKED = re.compile(r"_([0-9A-F]{2,6})_")
EMPTY = "_"
"""How an empty record id is written."""


def slug_of(record_id: str) -> str:
    """The record id as one part of a path.

    A slash, a dot or a blank that is only percent-encoded is changed on its way by browsers and
    proxies, so everything but letters, digits and hyphens is written by its number: `a/b` is
    `a_2F_b`.
    """
    if not record_id:
        return EMPTY
    return "".join(c if _PLAIN.match(c) else f"_{ord(c):02X}_" for c in record_id)


def record_id_of(slug: str) -> str:
    """The record id that `slug_of` wrote so."""
    if slug == EMPTY:
        return ""
    return _MARKED.sub(lambda found: _character(found[1], found[0]), slug)


def _character(number: str, written: str) -> str:
    point = int(number, 16)
    return chr(point) if 0 < point < 0x110000 and not 0xD800 <= point < 0xE000 else written

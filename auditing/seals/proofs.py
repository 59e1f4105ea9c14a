"""What of a block goes into evidence: a row with its salts, and the way from it to the root.

`verify_evidence.py` reads this without us; see `auditing.evidence`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from auditing.seals.leaves import (
    NULL,
    REST,
    SALT,
    entry_salt,
    entry_value,
    escape,
    prefixes,
    unescape,
)
from auditing.seals.merkle import above

Disclosed = list[list[str]]
"""Of each value in the leaf's order: name, salt in hex, value; or name, commitment in hex."""


def levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """The nodes of the tree, from the leaves up to the root."""
    found = [list(leaves)]
    while len(found[-1]) > 1:
        found.append(above(found[-1]))
    return found


def proof(tree: Sequence[Sequence[bytes]], first: int, count: int) -> list[str]:
    """What leads from `count` leaves, of which one is at `first`, to the root: neighbours in hex.

    From below; on each level the left one before the right one, where they are needed.
    """
    found = []
    for level in tree[:-1]:
        if first % 2:
            found.append(level[first - 1].hex())
            first, count = first - 1, count + 1
        if (first + count) % 2 and first + count < len(level):
            found.append(level[first + count].hex())
            count += 1
        first, count = first // 2, (count + 1) // 2
    return found


def disclosed(
    values: Sequence[bytes],
    names: Sequence[str],
    salts: bytes,
    at: int,
    kept: Mapping[bytes, bytes],
) -> Disclosed:
    """The values of a row with their salts, and of redacted ones the commitments.

    The arguments are those of `auditing.seals.leaves.leaf`.
    """
    found: Disclosed = []
    for name, prefix, value in zip(names, prefixes(names), values, strict=True):
        salt = salts[at : at + SALT]
        at += SALT
        if name == REST:
            found += _entries(value, salt, kept)
        elif value != NULL:
            found.append([text(prefix[:-1]), salt.hex(), text(value)])
        elif prefix in kept:
            found.append([text(prefix[:-1]), kept[prefix].hex()])
    return found


def _entries(value: bytes, salt: bytes, kept: Mapping[bytes, bytes]) -> Disclosed:
    entries = {} if value == NULL else json.loads(unescape(value))
    found = {
        prefix: [text(prefix[:-1]), mark.hex()]
        for prefix, mark in kept.items()
        if prefix.startswith(b"rest.") and len(mark) != SALT
    }
    for key, entry in entries.items():
        prefix = escape(f"{REST}.{key}".encode()) + b"\t"
        own = kept.get(prefix, b"")
        own = own if len(own) == SALT else entry_salt(salt, key)
        found[prefix] = [text(prefix[:-1]), own.hex(), text(entry_value(entry))]
    return [found[prefix] for prefix in sorted(found)]


def text(printed: bytes) -> str:
    """As JSON can hold it, also where it is not UTF-8."""
    return printed.decode("utf-8", "surrogateescape")

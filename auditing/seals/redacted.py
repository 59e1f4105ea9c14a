"""What a certificate of redaction says of the values: which, and by which commitments."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple


class RedactedLine(NamedTuple):
    """One value that was destroyed."""

    block: int
    section: int
    """Place of its section's first leaf in the block."""
    place: int
    """Of the leaf in its section, from 0."""
    name: str
    """As in the leaf."""
    commitment: bytes


def redacted_digest(rows: Iterable[RedactedLine]) -> str:
    """SHA-256, in hex, over a line for each value: block, section, place, name, commitment in hex.

    In the order of these, names by their bytes; blanks between, a newline after each line.
    """
    digest = sha256()
    for row in sorted(rows, key=lambda row: (*row[:3], row.name.encode())):
        line = f"{row.block} {row.section} {row.place} {row.name} {row.commitment.hex()}\n"
        digest.update(line.encode())
    return digest.hexdigest()

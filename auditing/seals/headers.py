"""Headers of blocks, and anchors of them: what is signed, byte by byte."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Literal

from operations.certificates.canonical import NotCanonical, canonical, read_json

FORMAT = "custody-seal/1"
ANCHOR = "custody-anchor/1"
FIRST = "0" * 64
"""What the first block has before it."""
Form = Literal["version", "image", "carried", "row"]
"""`version`: a change as it was captured. `image`: what a baseline found. `carried`: an image that
stands for those of a month that went. `row`: of another table, known by one number."""


@dataclass(frozen=True)
class SectionHead:
    """What a header says of one section."""

    source: str
    """The table, with its schema: `history.shop__orders`."""
    form: Form
    leaves: int
    meta: list[str]
    """Fields of the row that stay, in the leaf's order."""
    names: list[str]
    """Columns that have a commitment each, in the leaf's order."""
    since: str = ""
    """Of versions: the least and the greatest of their times, ISO 8601 in UTC. By them a month that
    is retired is told from one that is not."""
    until: str = ""


@dataclass(frozen=True)
class Header:
    """Of one block. Times are text, ISO 8601 in UTC."""

    chain: str
    """Made up when the first block was made: tells apart the logs of two databases."""
    number: int
    previous: str
    """Hash of the header before, in hex."""
    made_at: str
    root: str
    """In hex."""
    sections: list[SectionHead]
    covers: str
    """Of the last block of a pass: a pg_snapshot in the numbers of the log. Whatever it sees is in
    this block or an earlier one. Else empty."""
    key_id: str

    @property
    def signed(self) -> bytes:
        """What is hashed and signed."""
        return canonical({"format": FORMAT, **asdict(self)})

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.signed).hexdigest()

    @property
    def leaves(self) -> int:
        return sum(section.leaves for section in self.sections)


def header_read(text: str) -> Header:
    """The header that the text is. Raises NotCanonical when it is none."""
    found: Any = read_json(text)
    try:
        if found.pop("format") != FORMAT:
            raise NotCanonical("It is of another format.")
        sections = [SectionHead(**each) for each in found.pop("sections")]
        header = Header(sections=sections, **found)
        if header.signed != text.encode():
            raise NotCanonical("It is not written in the one form that is signed.")
    except (TypeError, AttributeError, KeyError) as error:
        raise NotCanonical("It is not the header of a block.") from error
    return header


@dataclass(frozen=True)
class Anchor:
    """What a block was, told outside the database. Times are text, ISO 8601 in UTC."""

    kind: Literal["block", "rewound"]
    """`rewound`: the database was put back to this block on purpose; what was anchored after it is
    gone."""
    chain: str
    number: int
    hash: str
    at: str
    key_id: str
    by: str = ""
    """Of a rewind: who says so."""
    reason: str = ""

    @property
    def signed(self) -> bytes:
        return canonical({"format": ANCHOR, **asdict(self)})

"""Looking for a text in the parts of an archive, without reading every value of every row.

A part is unpacked and its bytes are compared: only records that hold a trace of the text, whatever
its case, go to PostgreSQL, which decides. A record without a trace cannot have a value that fits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from operations.asked import Asked
from operations.storage import storage
from retention.exceptions import ArchiveDamaged
from retention.models import ArchivePart
from retention.services.csv_slices import csv_slices
from retention.services.part_reader import PartReader, part_differences, records

SLICE = 1 << 20
_GROUPED = 120
"""Bytes that a telephone number takes at most, with all that parts its digits."""
_TRACE = 3
"""Letters of ASCII that are enough of a trace."""


@dataclass(frozen=True)
class Traces:
    """What every record that fits holds one of; `any` None: nothing can be said of it."""

    any: tuple[bytes, ...] | None
    digits: re.Pattern[bytes] | None = None
    """Of a telephone number, however its digits are grouped."""

    def within(self, text: bytes) -> bool:
        if self.any is None:
            return True
        small = text.lower()
        return any(each in small for each in self.any) or (
            self.digits is not None and self.digits.search(text) is not None
        )


def traces_of(asked: Asked) -> Traces:
    """In the text of COPY, in lower case as far as ASCII goes."""
    found: list[bytes | None] = [_longest(word) for word in asked.words[:1]]
    if len(asked.words) > 1:
        # Of several words each is in the row; the longest is the rarest.
        found = [max((_longest(word) or b"" for word in asked.words), key=len) or None]
    inside = json.dumps(asked.text, ensure_ascii=False)[1:-1]
    if inside != asked.text:
        found.append(_longest(max(inside.split(), key=len, default="")))
    if asked.integer is not None:
        found.append(str(abs(asked.integer)).encode())
    found += [str(abs(each)).rstrip("0").rstrip(".").encode() for each in asked.decimals]
    if asked.uuid:
        text = asked.uuid
        found.append("-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])).encode())
    if asked.address:
        found.append(asked.address.lower().encode())
    parts = asked.text.split(",")
    if len(parts) > 1:
        # A key of several columns.
        found.append(_longest(parts[0].strip()))
    found += [day.encode() for day in asked.days]
    if not found or any(not each for each in found):
        return Traces(None)
    digits = rb"[ +()./-]*".join(map(str.encode, asked.digits))
    return Traces(
        tuple(dict.fromkeys(each for each in found if each)),
        re.compile(digits) if asked.digits else None,
    )


def _longest(word: str) -> bytes | None:
    """Its longest run of plain letters: of others the case could not be told from bytes."""
    runs = re.findall(r"[\x21\x23-\x7e]+", word)
    best = max(runs, key=len, default="")
    if len(best) >= _TRACE or best == word:
        return best.lower().encode() or None
    if '"' not in word and word.lower() == word.upper():
        return word.encode()
    return None


def holds_trace(part: ArchivePart, traces: Traces, *, goes_on: Callable[[], bool]) -> bool:
    """Whether the part may have a record that fits; as fast as it is unpacked.

    Also when it was not read to its end, because `goes_on` said no.

    Raises:
        StorageError, IdentityNeeded: the part cannot be read.
        ArchiveDamaged: it is not what was written.
    """
    if traces.any is None:
        return True
    reader = PartReader(storage(), part.file, counts=False)
    # What begins in one block may end in the next.
    overlap = max((len(each) for each in traces.any), default=1) + _GROUPED
    end = b""
    for block in reader.blocks():
        if not goes_on() or traces.within(end + block):
            return True
        end = block[-overlap:]
    differs = part_differences(part, reader.facts())
    if differs:
        raise ArchiveDamaged(f"{part.file} {'; '.join(differs)}.")
    return False


@dataclass(frozen=True)
class Candidate:
    part: ArchivePart
    line: int
    """Its number in the part, from 1."""
    record: bytes


def candidates(
    part: ArchivePart, traces: Traces, *, goes_on: Callable[[], bool]
) -> Iterator[Candidate]:
    """The records of a part with a trace, in their order.

    Args:
        goes_on: asked between slices; when it says no, the part is not read on (StopIteration
            comes without a word: ask it again).

    Raises:
        StorageError, IdentityNeeded: the part cannot be read.
        ArchiveDamaged: it is not what was written.
    """
    reader = PartReader(storage(), part.file)
    line = -1  # The header comes first.
    for blocks in csv_slices(reader.blocks(), size=SLICE):
        if not goes_on():
            return
        text = b"".join(blocks)
        if not traces.within(text):
            line += _count(text)
            continue
        for record in records([text]):
            line += 1
            if line > 0 and traces.within(record):
                yield Candidate(part, line, record)
    differs = part_differences(part, reader.facts())
    if differs:
        raise ArchiveDamaged(f"{part.file} {'; '.join(differs)}.")


def _count(text: bytes) -> int:
    """Whole records in it."""
    if b'"' not in text:
        return text.count(b"\n")
    return sum(piece.count(b"\n") for piece in text.split(b'"')[::2])

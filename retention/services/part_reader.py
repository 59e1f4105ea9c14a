"""Reads one part of an archive back, piece by piece: a part may be larger than the memory.

An encrypted part needs an identity that opens it (operations/encryption); its stored bytes can be
compared without one.

Only the ends of records are found here. The values in them are read by PostgreSQL: Python's csv
module takes NULL and the empty string for the same.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO, cast

import zstandard

from operations.encryption import (
    CiphertextUnusable,
    Reading,
    decrypted,
    identities_needed,
)
from operations.storage import Storage
from retention.exceptions import ArchiveDamaged
from retention.models import ArchivePart

_READ = 1 << 17
_UNPACKED = 1 << 18
_LONGEST_HEAD = 1 << 22


@dataclass(frozen=True)
class Content:
    """What a part unpacks to."""

    plain_bytes: int
    records: int
    """Rows; the header is not one."""
    header: tuple[str, ...]


@dataclass(frozen=True)
class PartFacts:
    """What a part was found to be."""

    bytes: int
    """As stored: compressed, and encrypted where that is wanted."""
    sha256: str
    """Of the file as stored."""
    content: Content | None = None
    """None when it was not unpacked."""


class PartReader:
    """One reading of one part: `blocks` to its end, then `facts`."""

    def __init__(self, store: Storage, file: str, *, counts: bool = True) -> None:
        """
        Args:
            counts: without it `facts` tells of the stored file only, which takes less time.
        """
        self._store, self._file, self._counts = store, file, counts
        self._plain_bytes = 0
        self._counter = _RecordCounter()
        self._stored: _HashingFile | None = None

    def blocks(self) -> Iterator[bytes]:
        """The CSV in pieces of 256 KiB at most.

        Raises:
            StorageError: the file is missing or cannot be read.
            IdentityNeeded: it is encrypted, and no identity is at hand.
            ArchiveDamaged: it cannot be decrypted, or is not zstd data.
        """
        encrypted = self._file.endswith(".age")
        held = identities_needed() if encrypted else ()
        with self._store.open(self._file) as file:
            self._stored = stored = _HashingFile(file)
            try:
                if encrypted:
                    with closing(decrypted(stored, held)) as pieces:
                        yield from self._unpacked(Reading(pieces))
                else:
                    yield from self._unpacked(stored)
            except zstandard.ZstdError as error:
                raise ArchiveDamaged(f"{self._file} cannot be unpacked: {error}") from error
            except CiphertextUnusable as error:
                raise ArchiveDamaged(f"{self._file} cannot be decrypted: {error}") from error
            stored.drain()

    def _unpacked(self, packed: Reading | _HashingFile) -> Iterator[bytes]:
        unpacker = zstandard.ZstdDecompressor()
        for block in unpacker.read_to_iter(
            cast("BinaryIO", packed), read_size=_READ, write_size=_UNPACKED
        ):
            self._plain_bytes += len(block)
            if self._counts:
                self._counter.feed(block)
            yield block
        while packed.read(_READ):
            # What follows the last row is read too, so that it is hashed and authenticated.
            pass

    def facts(self) -> PartFacts:
        """Only after `blocks` came to its end."""
        assert self._stored is not None
        if not self._counts:
            return PartFacts(self._stored.bytes, self._stored.digest.hexdigest())
        content = Content(
            self._plain_bytes, max(self._counter.records - 1, 0), _names(self._counter.head)
        )
        return PartFacts(self._stored.bytes, self._stored.digest.hexdigest(), content)


def part_measure(store: Storage, file: str, *, unpack: bool = True) -> PartFacts:
    """Reads the whole part. Raises StorageError; ArchiveDamaged, IdentityNeeded when unpacking.

    Args:
        unpack: without it only the stored bytes are looked at.
    """
    reader = PartReader(store, file)
    if unpack:
        for _ in reader.blocks():
            pass
        return reader.facts()
    with store.open(file) as opened:
        stored = _HashingFile(opened)
        stored.drain()
    return PartFacts(stored.bytes, stored.digest.hexdigest())


def part_differences(part: ArchivePart, found: PartFacts) -> list[str]:
    """What is not as the database says, in words; empty for a sound part."""
    if found.sha256 != part.sha256:
        size = "" if found.bytes == part.bytes else _in_place(found.bytes, part.bytes, " bytes")
        return [f"is not what was written: its SHA-256 differs{size}"]
    wrong = []
    if found.bytes != part.bytes:
        wrong.append(f"has another size than the database says{_in_place(found.bytes, part.bytes)}")
    return wrong if found.content is None else wrong + _content_differences(part, found.content)


def _content_differences(part: ArchivePart, found: Content) -> list[str]:
    wrong = []
    if found.plain_bytes != part.plain_bytes:
        counts = _in_place(found.plain_bytes, part.plain_bytes)
        wrong.append(f"unpacks to another number of bytes{counts}")
    if found.records != part.rows:
        wrong.append(f"holds another number of rows{_in_place(found.records, part.rows)}")
    columns = tuple(column["name"] for column in part.archive.layout["columns"])
    if found.header != columns:
        wrong.append("its header does not name the columns of the layout")
    return wrong


def records(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The records of a CSV, the header first, each with the newline that ends it."""
    pieces: list[bytes] = []
    quotes = 0
    for line in _lines(blocks):
        pieces.append(line)
        quotes += line.count(b'"')
        if quotes % 2 == 0 and line.endswith(b"\n"):
            yield b"".join(pieces)
            pieces, quotes = [], 0
    if pieces:
        yield b"".join(pieces)


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    rest: list[bytes] = []
    for block in blocks:
        *whole, last = block.split(b"\n")
        for line in whole:
            yield b"".join([*rest, line, b"\n"])
            rest = []
        rest.append(last)
    if any(rest):
        yield b"".join(rest)


def _in_place(found: int, wanted: int, unit: str = "") -> str:
    return f" ({found:,}{unit} in place of {wanted:,})"


def _names(head: bytes) -> tuple[str, ...]:
    first = next(records([head]), b"")
    text = first.decode("utf-8", errors="replace").removesuffix("\n")
    return tuple(next(csv.reader(io.StringIO(text, newline="")), []))


class _RecordCounter:
    """Counts newlines outside quotes; a doubled quote inside a value toggles twice."""

    def __init__(self) -> None:
        self.records = 0
        self.head = b""
        self._quoted = False

    def feed(self, block: bytes) -> None:
        if not self.records and len(self.head) < _LONGEST_HEAD:
            self.head += block
        if b'"' not in block:
            if not self._quoted:
                self.records += block.count(b"\n")
            return
        pieces = block.split(b'"')
        self.records += sum(piece.count(b"\n") for piece in pieces[self._quoted :: 2])
        self._quoted ^= len(pieces) % 2 == 0


class _HashingFile:
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        self.bytes += len(data)
        return data

    def drain(self) -> None:
        while self.read(_READ):
            pass

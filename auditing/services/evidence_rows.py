"""The rows of evidence: of each block what was chosen, with its way to the block's root."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from auditing.models import SealSection
from auditing.seals import merkle
from auditing.seals.proofs import levels, proof, text
from auditing.selectors.evidence_sections import Bounds, SealedRow, among
from auditing.services.evidence_zip import Sink

Read = Callable[[SealSection], Iterable[SealedRow]]
Note = Callable[[SealSection, SealedRow], None]


@dataclass
class Numbers:
    """What the versions of an export name: 8 bytes each, sorted once all are there."""

    statements: array[int] = field(default_factory=lambda: array("q"))
    transactions: array[int] = field(default_factory=lambda: array("q"))
    contexts: array[int] = field(default_factory=lambda: array("q"))

    def settle(self) -> None:
        for name in ("statements", "transactions", "contexts"):
            setattr(self, name, array("q", sorted(set(getattr(self, name)))))


@dataclass
class Written:
    """What came of one source."""

    rows: int = 0
    altered: list[str] = field(default_factory=list)
    """Rows that are not what was sealed: as the verifier will say too."""
    whole: list[tuple[int, int]] = field(default_factory=list)
    """Ranges of blocks of which no row of the source is missing."""


class Blocks:
    """The trees of the blocks, one at a time."""

    def __init__(self, using: str) -> None:
        self._using, self._number = using, 0
        self._tree: list[list[bytes]] = []
        self._order: list[int] = []

    def of(self, number: int) -> tuple[list[list[bytes]], list[int]]:
        """The tree, and the sections' ids in their order."""
        if number != self._number:
            found = list(
                SealSection.objects.using(self._using)
                .filter(block_id=number)
                .order_by("place")
                .values_list("pk", "hashes")
            )
            self._tree = levels([leaf for _, raw in found for leaf in merkle.split(bytes(raw))])
            self._order, self._number = [pk for pk, _ in found], number
        return self._tree, self._order


def rows_write(
    sink: Sink,
    found: Iterable[tuple[Bounds, bool]],
    *,
    read: Read,
    blocks: Blocks,
    last: int,
    note: Note | None = None,
    using: str,
) -> Written:
    """Writes the rows of one source as lines.

    Args:
        found: its sections in their order, and whether any of their rows may be chosen.
        last: the last block of the export.
        note: called with each row.
    """
    written = Written()
    ranges = _Ranges()
    for bounds, wanted in found:
        rows: list[SealedRow] = []
        whole = False
        if wanted:
            section = SealSection.objects.using(using).select_related("tracked").get(pk=bounds.pk)
            rows = list(read(section))
            whole = len(rows) == len(section.ids)
            if rows:
                _section_write(sink, section, rows, *blocks.of(bounds.block))
            for row in rows:
                if not row.intact:
                    written.altered.append(_named(section, row))
                if note is not None:
                    note(section, row)
        written.rows += len(rows)
        ranges.add(bounds.block, whole)
    written.whole = ranges.ended(last)
    return written


def _section_write(
    sink: Sink,
    section: SealSection,
    rows: list[SealedRow],
    tree: list[list[bytes]],
    order: list[int],
) -> None:
    where = {"block": section.block_id, "section": order.index(section.pk)}
    count = len(section.ids)
    # A way to the root is as long as the tree is high.
    dense = len(rows) * len(tree) >= count
    if dense:
        hashes = [leaf.hex() for leaf in merkle.split(bytes(section.hashes))]
        sink.line({**where, "leaves": hashes, "proof": proof(tree, section.place, count)})
    for row in rows:
        document = {
            **where,
            "leaf": row.place,
            "meta": text(b"\t".join(row.meta)),
            "values": row.shown,
        }
        if not dense:
            document["proof"] = proof(tree, section.place + row.place, 1)
        sink.line(document)


def _named(section: SealSection, row: SealedRow) -> str:
    return f"{section.source}, {section.meta[0]} {text(row.meta[0])}, block {section.block_id}"


class _Ranges:
    """Blocks one after the other of which nothing is missing."""

    def __init__(self) -> None:
        self._found: list[tuple[int, int]] = []
        self._first, self._block, self._fine, self._some = 1, 0, True, False

    def add(self, block: int, whole: bool) -> None:
        if block != self._block:
            self._settle()
            self._block, self._fine = block, True
        self._fine = self._fine and whole

    def _settle(self) -> None:
        if self._block == 0:
            return
        if self._fine:
            self._some = True
            return
        if self._some:
            self._found.append((self._first, self._block - 1))
        self._first, self._some = self._block + 1, False

    def ended(self, last: int) -> list[tuple[int, int]]:
        """With those after the last that was not whole, also when nothing is in them: nothing was
        changed since."""
        self._settle()
        if self._first <= last:
            self._found.append((self._first, last))
        return self._found


def numbered(found: Iterable[Bounds], numbers: array[int]) -> Iterator[tuple[Bounds, bool]]:
    """The sections of a table of ours, and whether any of the numbers may be in each."""
    for bounds in found:
        yield bounds, bool(among(numbers, bounds.first, bounds.last))

"""A part's CSV cut into slices of whole records: an archive is read without holding a part of it.

Only the ends of records are looked for; what is in them is PostgreSQL's to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def csv_slices(blocks: Iterable[bytes], *, size: int) -> Iterator[list[bytes]]:
    """The CSV in slices of whole records, of `size` bytes and a block more at most, unless one
    record is larger. The first one begins with the header."""
    pending: list[bytes] = []
    length = 0
    quoted = False
    for block in blocks:
        quoted ^= block.count(b'"') % 2 == 1
        pending.append(block)
        length += len(block)
        if length < size:
            continue
        end = _last_end(block, quoted=quoted)
        if end is None:
            continue
        pending[-1] = block[:end]
        yield pending
        rest = block[end:]
        pending, length = [rest] if rest else [], len(rest)
    if pending:
        yield pending


def _last_end(block: bytes, *, quoted: bool) -> int | None:
    """Where the last record that ends in the block ends; `quoted`: the block ends in quotes."""
    upto = len(block)
    while (at := block.rfind(b"\n", 0, upto)) >= 0:
        quoted ^= block.count(b'"', at, upto) % 2 == 1
        if not quoted:
            return at + 1
        upto = at
    return None

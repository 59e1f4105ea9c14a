"""The anchor of one block, among as many lines as there were passes.

Numbers rise from line to line, so it is found by halves; only where a rewind was accepted may they
not, and then the lines are read one by one.
"""

from __future__ import annotations

import os
from typing import BinaryIO

from auditing.models import SealBlock
from auditing.services.anchors import SignedAnchor, anchor_read, anchors, anchors_file


def anchor_of(chain: object, block: SealBlock) -> SignedAnchor | None:
    """Of the block itself, or else the first one after it, which covers it by the chain.

    None: neither is there. Raises AnchorUnusable.
    """
    found = _by_halves(chain, block.number)
    if found is not None and (found.anchor.number != block.number or _is_of(found, block)):
        return found
    exact = later = None
    for each in anchors(chain):
        if each.anchor.kind == "block" and each.anchor.number >= block.number:
            later = later or each
            exact = each if each.anchor.number == block.number else exact
            if _is_of(each, block):
                return each
    return exact or later


def _is_of(found: SignedAnchor, block: SealBlock) -> bool:
    return found.anchor.number == block.number and found.anchor.hash == block.hash


def _by_halves(chain: object, number: int) -> SignedAnchor | None:
    path = anchors_file(chain)
    try:
        with path.open("rb") as file:
            low, high = 0, file.seek(0, os.SEEK_END)
            found: SignedAnchor | None = None
            while low < high:
                middle = (low + high) // 2
                line = _line_at(file, middle)
                each = anchor_read(line, str(path)) if line else None
                if each is None or each.anchor.number >= number:
                    if each is not None and each.anchor.kind == "block":
                        found = each
                    high = middle
                else:
                    low = middle + 1
            return found
    except OSError:
        # Read one by one, which says what is the matter.
        return None


def _line_at(file: BinaryIO, place: int) -> bytes:
    """The first whole line that begins there or later; empty when none does."""
    if place:
        file.seek(place - 1)
        file.readline()
    else:
        file.seek(0)
    line = file.readline()
    return line if line.endswith(b"\n") else b""

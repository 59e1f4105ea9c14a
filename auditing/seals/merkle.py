"""The tree over a block's leaves, as RFC 6962 (2.1) has it: one hash stands for all of them.

Leaves are hashes already, made with a zero byte before; an inner node is SHA-256 over a byte of
one, its left and its right child. A node without a right one goes up as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Literal

HASH = 32
"""Bytes."""
Side = Literal["left", "right"]


def root(leaves: Sequence[bytes]) -> bytes:
    """Of an empty tree: the hash of nothing."""
    if not leaves:
        return sha256(b"").digest()
    level = list(leaves)
    while len(level) > 1:
        level = above(level)
    return level[0]


def above(level: list[bytes]) -> list[bytes]:
    pairs = zip(level[::2], level[1::2], strict=False)
    above = [sha256(b"\1" + left + right).digest() for left, right in pairs]
    if len(level) % 2:
        above.append(level[-1])
    return above


def path(leaves: Sequence[bytes], place: int) -> list[tuple[Side, bytes]]:
    """What leads from a leaf to the root: on which side each neighbour stands, from below."""
    found: list[tuple[Side, bytes]] = []
    level = list(leaves)
    while len(level) > 1:
        neighbour = place ^ 1
        if neighbour < len(level):
            found.append(("left" if neighbour < place else "right", level[neighbour]))
        level, place = above(level), place // 2
    return found


def along(leaf: bytes, steps: Sequence[tuple[Side, bytes]]) -> bytes:
    """The root that a leaf and its path give."""
    for side, neighbour in steps:
        pair = neighbour + leaf if side == "left" else leaf + neighbour
        leaf = sha256(b"\1" + pair).digest()
    return leaf


def split(hashes: bytes) -> list[bytes]:
    """Leaves that were kept as one piece."""
    return [hashes[at : at + HASH] for at in range(0, len(hashes), HASH)]

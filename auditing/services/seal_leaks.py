"""Blocks whose key leaked: they are believed as far as an anchor reaches that is older.

The time in a header proves nothing then: who has the key writes what he likes there. What was
anchored before he had it he cannot have changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from auditing.models import SealPosition
from auditing.services.anchors import anchors, anchors_stored
from operations.selectors.keys import keys_compromised


@dataclass(frozen=True)
class Leak:
    """Of one key."""

    since: datetime
    sure: int
    """The last block that an anchor of before names; 0 for none."""


def seal_leaks(*, using: str = "default") -> dict[str, Leak]:
    """The keys that leaked, by id. Anchors are read only where there is one.

    Raises AnchorUnusable, StorageError.
    """
    since = keys_compromised()
    position = SealPosition.objects.using(using).first()
    if not since or position is None:
        return {}
    sure = dict.fromkeys(since, 0)
    for told in (anchors, anchors_stored):
        for each in told(position.chain):
            anchor = each.anchor
            if anchor.kind == "rewound":
                # What was anchored after it is of blocks that are gone.
                sure = {key: min(number, anchor.number) for key, number in sure.items()}
                continue
            for key, leaked in since.items():
                if datetime.fromisoformat(anchor.at) < leaked:
                    sure[key] = max(sure[key], anchor.number)
    return {key: Leak(since[key], sure[key]) for key in since}


def leak_doubts(
    blocks: Sequence[tuple[int, str]], leaks: dict[str, Leak]
) -> Iterator[tuple[int, str]]:
    """Of blocks in their order, each with its key's id, those that are not believed: the first of
    each stretch, and why."""
    first, last, key = 0, 0, ""
    for number, key_id in blocks:
        leak = leaks.get(key_id)
        if leak is None or number <= leak.sure:
            continue
        if first and (number, key_id) == (last + 1, key):
            last = number
            continue
        if first:
            yield first, _said(first, last, key, leaks[key])
        first, last, key = number, number, key_id
    if first:
        yield first, _said(first, last, key, leaks[key])


def _said(first: int, last: int, key: str, leak: Leak) -> str:
    which = f"Block {first} rests" if first == last else f"Blocks {first} to {last} rest"
    return (
        f"{which} on the key {key} alone, which counts as leaked since "
        f"{leak.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: no older anchor names them."
    )

"""Who gets the places of an answer: each standing has its share, so that nothing hides the rest.

A name that thousands have would fill every place with live records, and who searches mostly looks
for what is gone. So the standings take turns, and a turn that one has no record for goes to the
others: of k standings with enough records each has at least a k-th of the places.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from operations.catalogue.types import TableName
from operations.finding import Fit, Hit, Standing


@dataclass(frozen=True)
class Share:
    """What of one standing is told."""

    standing: Standing
    hits: tuple[Hit, ...]
    """The best first."""
    more: bool
    """There are more that answer; nobody counts how many."""


def chosen(hits: Sequence[Hit], places: int) -> list[Hit]:
    """The hits that are told, in no order that matters.

    The standings take turns, that of the best hit first. Within one the better hit is told first,
    and of equally good ones the tables take turns, in the order in which they were found.
    """
    waiting: dict[str, deque[Hit]] = {}
    for hit in sorted(_with_turns(hits), key=lambda each: each[1:]):
        waiting.setdefault(hit[0].best.kind, deque()).append(hit[0])
    told: list[Hit] = []
    while waiting and len(told) < places:
        for kind in list(waiting)[: places - len(told)]:
            told.append(waiting[kind].popleft())
            if not waiting[kind]:
                del waiting[kind]
    return told


def shares(
    told: Iterable[Hit], more: Collection[str], standings: Sequence[Standing]
) -> tuple[Share, ...]:
    """Every standing with its hits, those with the best hit first; without any last.

    Args:
        told: the best first.
        more: the kinds of which there are more.
    """
    by_kind: dict[str, list[Hit]] = {}
    for hit in told:
        by_kind.setdefault(hit.best.kind, []).append(hit)
    known = {each.kind: each for each in standings}
    kinds = dict.fromkeys((*by_kind, *known))
    return tuple(
        Share(known.get(kind) or _unnamed(kind), tuple(by_kind.get(kind, ())), kind in more)
        for kind in kinds
    )


def _with_turns(hits: Sequence[Hit]) -> list[tuple[Hit, Fit, int, int]]:
    """Each with its fit, with how many equally good ones of its table came before it, and its
    standing's order."""
    before: dict[tuple[str, Fit, TableName], int] = {}
    found = []
    for hit in hits:
        alike = (hit.best.kind, hit.fit, hit.table)
        before[alike] = before.get(alike, -1) + 1
        found.append((hit, hit.fit, before[alike], hit.best.order))
    return found


def _unnamed(kind: str) -> Standing:
    """Of a source that says nothing of it."""
    return Standing(kind, 99, kind.capitalize(), kind, kind.capitalize())

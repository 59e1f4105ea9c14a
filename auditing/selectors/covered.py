"""Which transactions are sealed: what the last whole pass of the sealer saw."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.db import connections

from auditing.models import SealBlock
from auditing.seals.headers import header_read
from operations.certificates.canonical import NotCanonical

_SNAPSHOT = re.compile(r"\d+:(\d+):([\d,]*)")
_LOOK_BACK = 10_000
"""Blocks in which the end of a pass is looked for: a pass over a large backlog has many."""


@dataclass(frozen=True)
class Covered:
    """A snapshot, in the numbers of the log."""

    xmax: int
    open: frozenset[int]
    now: int
    """The number that the next transaction would have, at the most."""

    def sees(self, xid: int) -> bool:
        """Its rows have to be in a block. So do those of a transaction that cannot be."""
        return (xid < self.xmax and xid not in self.open) or xid > self.now


def covered_now(*, using: str) -> Covered:
    """By the newest header that ends a pass; nothing is covered before there is one."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmax(custody.audit_snapshot())::text::bigint")
        [now] = cursor.fetchone()
    blocks = SealBlock.objects.using(using).order_by("-number").values_list("header", flat=True)
    for text in blocks[:_LOOK_BACK].iterator(chunk_size=20):
        try:
            covers = header_read(text).covers
        except NotCanonical:
            continue
        # What is written otherwise was altered: the header's hash tells.
        if found := _SNAPSHOT.fullmatch(covers):
            running = frozenset(map(int, filter(None, found[2].split(","))))
            return Covered(int(found[1]), running, now)
    return Covered(0, frozenset(), now)

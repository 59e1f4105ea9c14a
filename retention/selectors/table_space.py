"""How much room the rows of a table take, and who will clear up after a purge of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connections

from operations.catalogue.types import TableName
from retention.selectors.queries import rows


@dataclass(frozen=True)
class TableSpace:
    rows: float
    """From statistics: the sum of the leaves; 0 when never analysed."""
    width: float
    """Average bytes of a row in the heap, its header included; 0 when not known."""
    heap: int
    """Bytes on disk."""
    bytes: int
    """Bytes on disk with indexes and TOAST."""
    autovacuum: bool
    """It runs, and is not switched off for any of the leaves."""
    comes: bool
    """On at least one leaf there are dead rows enough for it to come by itself."""


def dead_rows_count(*, using: str) -> None:
    """What this session deleted is in PostgreSQL's statistics at once, not within seconds.

    Outside a transaction.
    """
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_catalog.pg_stat_force_next_flush()")


def table_space(leaves: Sequence[TableName], *, using: str) -> TableSpace:
    """Of the tables that have rows: of a partitioned table its leaves."""
    named = {"schemas": [leaf.schema for leaf in leaves], "names": [leaf.name for leaf in leaves]}
    return TableSpace(**rows("table_space", named, using=using)[0])

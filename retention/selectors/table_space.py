"""How much room the rows of a table take, and who will clear up after a purge of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    threshold: float
    """Dead rows from which it comes by itself; the sum of the leaves."""
    dead: int
    """Dead rows as PostgreSQL has counted them so far: it lags by seconds."""


def table_space(leaves: Sequence[TableName], *, using: str) -> TableSpace:
    """Of the tables that have rows: of a partitioned table its leaves."""
    named = {"schemas": [leaf.schema for leaf in leaves], "names": [leaf.name for leaf in leaves]}
    return TableSpace(**rows("table_space", named, using=using)[0])

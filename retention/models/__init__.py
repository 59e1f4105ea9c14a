"""Policies, legal holds, deletions, the archives that purges wrote, and nightly measures."""

from retention.models.archive import Archive, ArchivePart
from retention.models.deletion import (
    Deletion,
    DeletionTable,
    SeveredReference,
    SoftDeleteTable,
)
from retention.models.hold import HeldRow, HoldScope, LegalHold
from retention.models.measure import PolicyMeasure, TableMeasure
from retention.models.policy import RetentionPolicy

__all__ = [
    "Archive",
    "ArchivePart",
    "Deletion",
    "DeletionTable",
    "HeldRow",
    "HoldScope",
    "LegalHold",
    "PolicyMeasure",
    "RetentionPolicy",
    "SeveredReference",
    "SoftDeleteTable",
    "TableMeasure",
]

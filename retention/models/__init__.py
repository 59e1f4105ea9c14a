"""Policies, legal holds, the archives that purges wrote, and what is measured every night."""

from retention.models.archive import Archive, ArchivePart
from retention.models.hold import HeldRow, HoldScope, LegalHold
from retention.models.measure import PolicyMeasure, TableMeasure
from retention.models.policy import RetentionPolicy

__all__ = [
    "Archive",
    "ArchivePart",
    "HeldRow",
    "HoldScope",
    "LegalHold",
    "PolicyMeasure",
    "RetentionPolicy",
    "TableMeasure",
]

"""Policies, and the archives that purges wrote."""

from retention.models.archive import Archive, ArchivePart
from retention.models.policy import RetentionPolicy

__all__ = ["Archive", "ArchivePart", "RetentionPolicy"]

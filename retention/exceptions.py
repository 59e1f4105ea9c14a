"""What can stand in the way of keeping and destroying."""

from __future__ import annotations

from operations.exceptions import CustodyError, Refused, UsageError


class PolicyRefused(UsageError):
    """The policy cannot be meant as it stands."""


class PolicyBusy(Refused):
    """Somebody else changed the policy, or decided about it, while this was looked at."""


class NoSuchPolicy(UsageError):
    """No policy has this name."""


class PurgeRefused(Refused):
    """The table cannot be purged safely as things are."""


class NoSuchHold(UsageError):
    """No hold was ever placed for this case."""


class HoldRefused(Refused):
    """The hold cannot be placed so, or not be released by this person."""


class NoSuchArchive(UsageError):
    """No archive has this name."""


class ArchiveDamaged(CustodyError):
    """What an archive holds is not what its manifest says."""


class ArchiveRefused(Refused):
    """The archive cannot be read, or not be destroyed, as things are."""


class RestoreRefused(Refused):
    """The archive cannot be put back as its table is now."""


class PreviewUnavailable(CustodyError):
    """A table cannot be looked at just now."""


class SoftDeleteMissing(UsageError):
    """The table does not have soft delete."""


class NoSuchDeletion(UsageError):
    """No deletion has this number."""


class DeletionRefused(Refused):
    """The record cannot be deleted, or its deletion not be restored, as things are."""


class SoftDeleteRefused(Refused):
    """Soft delete cannot be enabled on the table, or not be undone, as things are."""


class SoftDeleteBusy(SoftDeleteRefused):
    """Another process enables or disables soft delete of some table at this moment."""


class SoftDeleteUsage(UsageError):
    """What was asked of soft delete names something that is not there."""

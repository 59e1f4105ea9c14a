"""What the audit refuses or cannot do, each in a sentence that says what to do."""

from __future__ import annotations

from operations.exceptions import CustodyError, Refused, UsageError


class NotTrackable(Refused):
    """The table cannot be audited as it is; the text has the remedy."""


class NotTracked(UsageError):
    """The table is not audited."""


class AlreadyTracked(Refused):
    """The table is audited already."""


class BadColumns(UsageError):
    """Columns were named that the table has not, or that cannot be kept so."""


class NoSuchVersion(UsageError):
    """The record has no version of this number, or no version at all."""


class RestoreRefused(Refused):
    """The version cannot be put back as things are: what is in the way is named."""


class TableBusy(CustodyError):
    """The lock that a change of the audit needs was not had in time; nothing was changed."""


class NoSuchChange(UsageError):
    """The audit log has no such statement or transaction."""


class AnchorUnusable(CustodyError):
    """The anchors outside the database cannot be read or written."""


class Rewound(Refused):
    """The database stands behind its last anchor: nothing is sealed on top of it."""


class RedactRefused(Refused):
    """These values cannot be redacted so; the text has what can be done instead."""


class SealBroken(CustodyError):
    """A version is not what was sealed: whatever is done to it now would hide that."""


class NothingSealed(Refused):
    """There is no block yet, and so nothing to prove."""

"""What can stand in the way of auditing, and of reading and restoring what was audited."""

from __future__ import annotations

from operations.exceptions import Refused, UsageError


class NoSuchVersion(UsageError):
    """The record has no version of this number, or no history at all."""


class RestoreRefused(Refused):
    """The version cannot be put back as things are: what is in the way is named."""

"""Why the sample storefront is not loaded."""

from __future__ import annotations

from operations.exceptions import Refused, UsageError


class SampleExists(Refused):
    """The schema `shop` is there already."""


class SampleNotAllowed(Refused):
    """The database or its role cannot take the storefront: missing rights, not UTF-8, read only."""


class SampleScaleInvalid(UsageError):
    """The scale is not a number above 0."""

"""What can stand in the way of a run."""

from __future__ import annotations

from operations.exceptions import CustodyError, Refused, UsageError


class NoSuchRun(UsageError):
    """No run has this number."""


class TransitionRefused(Refused):
    """A run in this state cannot go where it was told to go."""


class RunBusy(Refused):
    """Another worker that gives signs of life owns the run."""


class ApprovalRefused(Refused):
    """This person may not approve this run, or what would be approved is not what was shown."""


class LeaseLost(CustodyError):
    """Another worker has taken the run over; this one has stopped and committed nothing more."""

"""The errors of the ground. Each one's text is what a person reads: what happened, what to do."""

from __future__ import annotations


class CustodyError(Exception):
    """Something failed or was found wrong. Commands end with `exit_code`."""

    exit_code = 1


class UsageError(CustodyError):
    """What was asked for cannot be understood: no such table, policy, run, column."""

    exit_code = 2


class Refused(CustodyError):
    """Understood, and not done: a hold, a missing approval, a conflict, something unsafe."""

    exit_code = 3

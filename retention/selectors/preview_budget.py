"""A look at a table that ends in time, and leaves nothing behind in the session."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connections, transaction
from django.db.backends.utils import CursorWrapper
from psycopg import errors

from operations.session import set_local

LEAST = 0.05
"""Seconds that a statement is given in any case."""
_SETTINGS = {
    # Compiling many small expressions takes longer than the sample they are computed for.
    "jit": "off",
    "lock_timeout": "500ms",
    # So that a hash of the rows that refer to the table fits.
    "work_mem": "64MB",
}


class TooSlow(Exception):
    """The statement was not done within its time."""


class Budget:
    """Seconds for all that is looked at, and what is left of them."""

    def __init__(self, seconds: float) -> None:
        self._began = time.monotonic()
        self._end = self._began + seconds

    @property
    def left(self) -> float:
        return max(self._end - time.monotonic(), 0.0)

    @property
    def taken(self) -> float:
        return time.monotonic() - self._began

    @contextmanager
    def limited(self, seconds: float, *, using: str, keep: float = 0.0) -> Iterator[CursorWrapper]:
        """A cursor for one statement, in a transaction that is rolled back.

        Args:
            seconds: at most, and no more than is left.
            keep: seconds that are kept for what comes later.

        Raises:
            TooSlow: the time is over, or somebody holds the table locked.
        """
        given = min(seconds, self.left - keep)
        if given < LEAST:
            raise TooSlow
        try:
            with transaction.atomic(using=using), connections[using].cursor() as cursor:
                set_local(
                    {**_SETTINGS, "statement_timeout": f"{round(given * 1000)}ms"}, using=using
                )
                yield cursor
                # The settings end with the savepoint, also where a transaction was open before.
                transaction.set_rollback(True, using=using)
        except OperationalError as error:
            if isinstance(error.__cause__, errors.QueryCanceled | errors.LockNotAvailable):
                raise TooSlow from error
            raise

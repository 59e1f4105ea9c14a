"""A change of a table that waits for its lock briefly, and again, so that no writer waits for it.

Whoever waits for a strong lock keeps everybody out who comes after: so one attempt waits for
`LOCK_SECONDS`, and the next comes a little later.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
from django.db import OperationalError, transaction

from auditing.exceptions import TableBusy
from operations.session import set_local

LOCK_SECONDS = 1.0
ATTEMPTS = 8
_PAUSE = 0.5

Made = TypeVar("Made")


def with_brief_lock(change: Callable[[], Made], *, what: str, using: str) -> Made:
    """`change` in a transaction of its own, tried again while a lock is not to be had.

    Raises:
        TableBusy: the lock was not had in any attempt; nothing was changed.
    """
    for attempt in range(ATTEMPTS):
        try:
            with transaction.atomic(using=using):
                set_local({"lock_timeout": f"{LOCK_SECONDS}s"}, using=using)
                return change()
        except OperationalError as error:
            if not isinstance(
                error.__cause__,
                psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected,
            ):
                raise
            # Not in step with whatever is in the way.
            time.sleep(_PAUSE * (attempt + 1) * random.uniform(0.5, 1.0))  # noqa: S311
    raise TableBusy(
        f"{what} is in use by a transaction that did not end in time: nothing changed. "
        "Try again when it has ended; the view pg_stat_activity shows it."
    )

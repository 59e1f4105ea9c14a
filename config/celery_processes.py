"""What a worker and beat do at their beginning and at their end.

They hold the embedded PostgreSQL and broker for as long as they live, say goodbye when they are
told to end, and no prefork child outlives its worker.
"""

from __future__ import annotations

import atexit
import signal
import sys
from contextlib import suppress
from typing import Any

from celery.signals import (
    beat_init,
    celeryd_init,
    worker_process_init,
    worker_shutdown,
    worker_shutting_down,
)
from django.conf import settings
from django.db import DatabaseError, connections

from config.embedded import EmbeddedError
from config.start import hold_embedded


@celeryd_init.connect
def worker_begins(**_: Any) -> None:
    """Before anything is forked."""
    _hold()


@beat_init.connect
def beat_begins(**_: Any) -> None:
    _hold()
    # Registered later than the hold's own, so called before PostgreSQL is let go.
    atexit.register(_goodbye, "beat")


@worker_process_init.connect
def child_begins(**_: Any) -> None:
    """A run whose worker is gone has to stop: the next owner must not wait for its lease."""
    from config.parent import die_with_parent

    die_with_parent(signal.SIGKILL)


@worker_shutting_down.connect
def worker_is_to_end(**_: Any) -> None:
    """Its runs go back to the queue after the step under way."""
    from operations.worker_stop import worker_stop_ask

    worker_stop_ask()


@worker_shutdown.connect
def worker_ends(**_: Any) -> None:
    _goodbye("worker")


def _hold() -> None:
    try:
        hold_embedded()
        if settings.EMBEDDED_BROKER is not None:
            settings.EMBEDDED_BROKER.hold()
    except EmbeddedError as error:
        # Celery would log any other exception of a receiver and go on.
        sys.exit(str(error))


def _goodbye(name: str) -> None:
    from operations.services.heartbeats import heartbeat_stop

    # Without a database there is nobody to say it to, and no tables before the first migration.
    with suppress(DatabaseError):
        heartbeat_stop(name=name)
    connections.close_all()

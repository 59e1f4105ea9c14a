"""Waking a worker for a run. The broker carries the call and is never trusted with it."""

from __future__ import annotations

import logging
from functools import partial

from celery import current_app
from django.db import transaction
from django.db.models.functions import Now
from kombu.exceptions import OperationalError

from operations.models import Run
from operations.runs.states import RunState

RUN_EXECUTE = "operations.run_execute"

log = logging.getLogger(__name__)


def wake(run_id: int) -> None:
    """Sends a worker to the run once the transaction has committed.

    A broker that is down is not an error: the sweeper finds the run in its table.
    """
    transaction.on_commit(partial(_send, run_id))


def job_start(task: str) -> None:
    """Sends a job to a worker. Raises OperationalError when the broker is down."""
    current_app.send_task(task, retry=False, ignore_result=True)


def _send(run_id: int) -> None:
    try:
        current_app.send_task(
            RUN_EXECUTE, kwargs={"run_id": run_id}, retry=False, ignore_result=True
        )
    except (OperationalError, OSError) as error:
        log.info("No worker was called for run %s; the sweeper will: %s", run_id, error)
        return
    Run.objects.filter(pk=run_id, state=RunState.QUEUED).update(dispatched_at=Now())

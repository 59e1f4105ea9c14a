"""Tasks of the ground. Each takes ids, makes one call, and may be sent twice or never."""

from __future__ import annotations

from datetime import UTC, datetime

from celery import shared_task
from celery.utils.log import get_task_logger
from kombu.exceptions import OperationalError

from operations.dispatch import RUN_EXECUTE, job_start, wake
from operations.exceptions import CustodyError
from operations.runs.exceptions import LeaseLost, RunBusy, TransitionRefused
from operations.services import alerts, run_lease, watch
from operations.services import run_execute as engine
from operations.services.heartbeats import heartbeat_record as record
from operations.services.scheduled_jobs import jobs_requested_start
from operations.worker_stop import worker_stop_asked

__all__ = ["alert_send", "heartbeat_record", "run_execute", "run_sweep", "wake"]

log = get_task_logger(__name__)


@shared_task(name=RUN_EXECUTE)
def run_execute(*, run_id: int) -> None:
    """Works on the run. Another worker may have been quicker: then there is nothing to do."""
    try:
        engine.run_execute(run_id=run_id, stop_asked=worker_stop_asked)
    except (RunBusy, TransitionRefused, LeaseLost) as said:
        log.info("%s", said)


@shared_task(name="operations.run_sweep")
def run_sweep() -> None:
    """Finds what the broker lost or a killed worker left, and what nobody gets on with."""
    for run_id in run_lease.run_sweep():
        wake(run_id)
    watch.watch()
    try:
        jobs_requested_start(start=job_start)
    except OperationalError as error:
        log.info("The broker did not take the jobs that were asked for: %s", error)


@shared_task(name="operations.heartbeat_record")
def heartbeat_record(*, sent_at: float | None = None) -> None:
    """The worker is alive, and so was beat when it sent this (`sent_at`: seconds since 1970)."""
    record(name="worker")
    if sent_at is not None:
        record(name="beat", at=datetime.fromtimestamp(sent_at, UTC))


@shared_task(name="operations.alert_send")
def alert_send() -> None:
    """Mails the alerts that nobody was told of."""
    try:
        alerts.alert_send()
    except (CustodyError, OSError) as error:
        # The next call tries again.
        log.warning("Alerts could not be mailed: %s", error)

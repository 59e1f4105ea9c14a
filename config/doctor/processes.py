"""The broker, the workers and beat, and what they should have done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import current_app
from django.conf import settings
from django.utils import timezone
from kombu import Connection

from config.doctor.database import Server
from config.doctor.finding import Finding, fine, note, wrong
from config.doctor.secrets import broker_shown
from operations.selectors.heartbeats import SignOfLife, signs_of_life
from operations.selectors.schedules import jobs_missed
from operations.selectors.stalled import runs_stalled
from operations.services.watch import MISSED_REMEDY, missed_text

REPLY_SECONDS = 1.0
RUNS_QUEUE = "custody-runs"

_START = {
    "worker": "manage.py serve, or: celery -A config.celery worker",
    "beat": "manage.py serve, or: celery -A config.celery beat (one only)",
}


def _external() -> bool:
    """Somebody named a broker, so workers should be there."""
    named: str = settings.CELERY_BROKER_URL
    return settings.EMBEDDED_BROKER is None and not named.startswith("memory:")


def broker_used() -> dict[str, Any]:
    return {"url": broker_shown(), "embedded": settings.EMBEDDED_BROKER is not None}


def check_broker() -> list[Finding]:
    if settings.EMBEDDED_BROKER is not None:
        if settings.EMBEDDED_BROKER.running():
            return fine("broker", "The embedded one runs")
        return note("broker", "The embedded one does not run; manage.py serve starts it")
    if not _external():
        return note("broker", "In the memory of each process: no worker hears another")
    try:
        with Connection(
            settings.CELERY_BROKER_URL,
            connect_timeout=5,
            transport_options=settings.CELERY_BROKER_TRANSPORT_OPTIONS,
        ) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
    except Exception as error:
        return wrong(
            "broker",
            f"{broker_shown()} does not answer: {error}",
            "Start it, or correct CELERY_BROKER_URL. Until then the sweep finds no worker, and "
            "runs go only by commands.",
        )
    return fine("broker", f"{broker_shown()} answers")


def check_processes(server: Server) -> list[Finding]:
    now = timezone.now() + timedelta(seconds=server.clock_offset)
    signs = signs_of_life(now=now)
    answering = _answering() if any(sign.vital == "silent" for sign in signs) else set()
    return [finding for sign in signs for finding in _judged(sign, answering)]


def _judged(sign: SignOfLife, answering: set[str]) -> list[Finding]:
    last = f"{timezone.localtime(sign.at):%Y-%m-%d %H:%M:%S}" if sign.at else ""
    if sign.vital == "alive":
        return fine(sign.name, f"Last sign of life at {last}")
    if sign.vital == "silent":
        if sign.name in answering:
            return fine(sign.name, f"It answers, though nothing was recorded since {last}")
        return wrong(sign.name, f"No sign of life since {last}", _START[sign.name])
    said = f"Stopped at {last}" if sign.vital == "stopped" else "Never started"
    if not _external():
        return note(sign.name, f"{said}; manage.py serve starts it")
    return wrong(sign.name, said, _START[sign.name])


def _answering() -> set[str]:
    """Which of worker and beat answer: one that is dead silences the other's heartbeats too."""
    try:
        replies = current_app.control.ping(timeout=REPLY_SECONDS)
    except Exception:
        return set()
    nodes = {node for reply in replies for node in reply}
    return {"beat" if node.startswith("celerybeat@") else "worker" for node in nodes}


def check_queues(_: Server) -> list[Finding]:
    """Workers that answer, and none of them takes runs."""
    worker = next(sign for sign in signs_of_life() if sign.name == "worker")
    if worker.vital != "alive":
        return []
    queues = _queues_taken()
    if not queues or RUNS_QUEUE in queues:
        return []
    return wrong(
        "runs",
        f"Workers answer, but none of them takes runs (queue {RUNS_QUEUE})",
        f"celery -A config.celery worker --queues={RUNS_QUEUE}",
    )


def _queues_taken() -> set[str]:
    try:
        replies = current_app.control.inspect(timeout=REPLY_SECONDS).active_queues() or {}
    except Exception:
        return set()
    return {queue["name"] for queues in replies.values() for queue in queues}


def check_jobs(_: Server) -> list[Finding]:
    missed = jobs_missed()
    if not missed:
        return fine("schedule", "No job of the night was missed")
    return [Finding("schedule", False, missed_text(job), MISSED_REMEDY) for job in missed]


def check_runs(_: Server) -> list[Finding]:
    return [
        Finding("runs", False, f"{stalled.run}: {stalled.why}", stalled.remedy)
        for stalled in runs_stalled()
    ] or fine("runs", "None is stalled")

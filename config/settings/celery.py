"""Celery: carries wake-up calls only. The state of every job is a Run in PostgreSQL."""

import time
from typing import Any

from celery.beat import BeatLazyFunc
from celery.schedules import crontab
from kombu import Exchange, Queue

from config.embedded import EmbeddedBroker
from config.env import VAR, env

CELERY_BROKER_URL: str = env.str("CELERY_BROKER_URL", default="")
EMBEDDED_BROKER: EmbeddedBroker | None = (
    None if CELERY_BROKER_URL else EmbeddedBroker(VAR / "broker")
)
if EMBEDDED_BROKER is not None:
    CELERY_BROKER_URL = EMBEDDED_BROKER.url

# The broker may be shared with another application's Celery: nothing has its default name.
# Runs have a queue of their own, so that workers can be given to them (-Q) and heartbeats and the
# sweep never wait behind hours of work. A worker without -Q takes both.
CELERY_TASK_DEFAULT_QUEUE = "custody"
CELERY_TASK_QUEUES = [
    Queue(name, Exchange(name), routing_key=name) for name in ("custody", "custody-runs")
]
CELERY_TASK_ROUTES = {"operations.run_execute": {"queue": "custody-runs"}}
CELERY_CONTROL_EXCHANGE = "custody"
CELERY_EVENT_EXCHANGE = "custody-events"

CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BEAT_ENABLE_REMOTE_CONTROL = True
CELERY_TIMEZONE = env.str("CUSTODY_TIME_ZONE", default="UTC")
# Whoever sends a call does not wait for a broker that is down: the sweeper finds the run.
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
}
if CELERY_BROKER_URL.startswith(("redis", "rediss", "unix")):
    CELERY_BROKER_TRANSPORT_OPTIONS |= {
        "global_keyprefix": "custody:",
        "socket_connect_timeout": 5,
        # Longer than the longest task, or Redis hands the same message to a second worker.
        "visibility_timeout": 12 * 3600,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 5,
    }

# What nobody took in time is sent again anyway; the night's purge waits for a worker. Times of day
# are where a new console begins: afterwards they are rows that people edit (`config.beat`).
CELERY_BEAT_SCHEDULER = "config.beat:ConsoleScheduler"
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "heartbeat": {
        "task": "operations.heartbeat_record",
        "schedule": 15.0,
        "kwargs": {"sent_at": BeatLazyFunc(time.time)},
        "options": {"expires": 60.0},
    },
    "run-sweep": {
        "task": "operations.run_sweep",
        "schedule": 10.0,
        "options": {"expires": 30.0},
    },
    "alert-send": {
        "task": "operations.alert_send",
        "schedule": 60.0,
        "options": {"expires": 60.0},
    },
    "audit-seal": {
        "task": "auditing.audit_seal",
        "schedule": 30.0,
        "options": {"expires": 30.0},
    },
    "statement-summarise": {
        "task": "auditing.statement_summarise",
        "schedule": 10.0,
        "options": {"expires": 30.0},
    },
    "bin-watch": {
        "task": "retention.bin_watch",
        "schedule": 60.0,
        "options": {"expires": 60.0},
    },
    "audit-watch": {
        "task": "auditing.audit_watch",
        "schedule": 300.0,
        "options": {"expires": 240.0},
    },
    "softdelete-watch": {
        "task": "retention.softdelete_watch",
        "schedule": 3600.0,
        "options": {"expires": 1800.0},
    },
    "partition-ahead": {
        "task": "auditing.partition_ahead",
        "schedule": crontab(hour=1, minute=30),
    },
    "purge-nightly": {
        "task": "retention.purge_nightly",
        "schedule": crontab(hour=3, minute=0),
    },
    "verify-nightly": {
        "task": "auditing.verify_nightly",
        "schedule": crontab(hour=4, minute=0),
    },
    "archive-expire-nightly": {
        "task": "retention.archive_expire_nightly",
        "schedule": crontab(hour=5, minute=0),
    },
    "measure-daily": {
        "task": "retention.measure_take",
        "schedule": crontab(hour=6, minute=30),
    },
    "hold-watch": {
        "task": "retention.hold_watch",
        "schedule": crontab(hour=2, minute=30),
    },
}

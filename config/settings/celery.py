"""Celery: carries wake-up calls only. The state of every job is a Run in PostgreSQL."""

from celery.schedules import crontab

from config.embedded import EmbeddedBroker
from config.env import VAR, env

CELERY_BROKER_URL: str = env.str("CELERY_BROKER_URL", default="")
EMBEDDED_BROKER: EmbeddedBroker | None = (
    None if CELERY_BROKER_URL else EmbeddedBroker(VAR / "broker")
)
if EMBEDDED_BROKER is not None:
    CELERY_BROKER_URL = EMBEDDED_BROKER.url

CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = env.str("CUSTODY_TIME_ZONE", default="UTC")
if CELERY_BROKER_URL.startswith(("redis", "rediss", "unix")):
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        # Longer than the longest task, or Redis hands the same message to a second worker.
        "visibility_timeout": 12 * 3600,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 5,
    }

CELERY_BEAT_SCHEDULE = {
    "heartbeat": {"task": "operations.heartbeat_record", "schedule": 15.0},
    "run-sweep": {"task": "operations.run_sweep", "schedule": 10.0},
    "alert-send": {"task": "operations.alert_send", "schedule": 60.0},
    "purge-nightly": {"task": "retention.purge_nightly", "schedule": crontab(hour=3, minute=0)},
}
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR / "beat" / "schedule")

"""The console's own tables, in the schema `custody`."""

from operations.models.alert import Alert, Heartbeat, JobRequest, ScheduledJob
from operations.models.certificate import Certificate, SigningKey
from operations.models.run import Run, RunEvent

__all__ = [
    "Alert",
    "Certificate",
    "Heartbeat",
    "JobRequest",
    "Run",
    "RunEvent",
    "ScheduledJob",
    "SigningKey",
]

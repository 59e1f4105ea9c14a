"""What Celery beat asks of the audit."""

from __future__ import annotations

from celery import shared_task
from celery.utils.log import get_task_logger

from auditing.services import audit_seal as seals
from auditing.services import audit_watch as watch
from auditing.services import evidence_forget as evidence
from auditing.services import own_tables as own
from auditing.services import partition_ahead as partitions
from auditing.services import statement_summarise as summaries
from auditing.services import verify_nightly as night
from operations.dispatch import wake
from operations.services.actors import system_user

__all__ = ["audit_seal", "audit_watch", "partition_ahead", "statement_summarise", "verify_nightly"]

log = get_task_logger(__name__)


@shared_task(name=summaries.STATEMENT_SUMMARISE)
def statement_summarise() -> None:
    """Every few seconds: the lines of the audit log for what was changed since."""
    summaries.statement_summarise()


@shared_task(name=seals.AUDIT_SEAL)
def audit_seal() -> None:
    """Every half minute: what was changed since is sealed. What keeps it from that is an alert."""
    seals.audit_seal_beat()


@shared_task(name=partitions.PARTITION_AHEAD)
def partition_ahead() -> None:
    """Every night: partitions of the histories for the months to come."""
    partitions.partition_ahead(nightly=True)


@shared_task(name=watch.AUDIT_WATCH)
def audit_watch() -> None:
    """Every few minutes: drift is adjusted, what is wrong is told, our own tables are audited, and
    evidence that nobody fetched in its time is deleted."""
    for line in own.own_tables_track(actor=system_user(watch.WATCHER)).left:
        log.warning("%s", line)
    watch.audit_watch()
    evidence.evidence_forget()


@shared_task(name=night.VERIFY_NIGHTLY)
def verify_nightly() -> None:
    """Every night: is the log what was sealed? What is found becomes an alert."""
    run = night.verify_nightly(requester=system_user("scheduler"))
    if run is not None:
        wake(run.pk)

"""Tasks of retention."""

from __future__ import annotations

from celery import shared_task

from operations.dispatch import wake
from operations.services.actors import system_user
from retention.services import purge_nightly as night

__all__ = ["purge_nightly"]


@shared_task(name=night.PURGE_NIGHTLY)
def purge_nightly() -> None:
    """Every night: a purge by each policy. Two at once ask for the same runs."""
    for run_id in night.purge_nightly(requester=system_user("scheduler")):
        wake(run_id)

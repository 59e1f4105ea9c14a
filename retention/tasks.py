"""Tasks of retention."""

from __future__ import annotations

from celery import shared_task

from operations.dispatch import wake
from operations.services.actors import system_user
from retention.services import archive_expire_nightly as expiry
from retention.services import bin_watch as bins
from retention.services import hold_watch as watch
from retention.services import measures
from retention.services import purge_nightly as night
from retention.services import softdelete_watch as soft

__all__ = [
    "archive_expire_nightly",
    "bin_watch",
    "hold_watch",
    "measure_take",
    "purge_nightly",
    "softdelete_watch",
]


@shared_task(name=night.PURGE_NIGHTLY)
def purge_nightly() -> None:
    """Every night: a purge by each policy. Two at once ask for the same runs."""
    for run_id in night.purge_nightly(requester=system_user("scheduler")):
        wake(run_id)


@shared_task(name=measures.MEASURE_TAKE)
def measure_take() -> None:
    """Every morning: how large the tables are and what is still due, for the overview."""
    measures.measure_take(nightly=True)


@shared_task(name=watch.HOLD_WATCH)
def hold_watch() -> None:
    """Every night: holds that are due for review, or that do not fit their table any more."""
    watch.hold_watch()


@shared_task(name=bins.BIN_WATCH)
def bin_watch() -> None:
    """Every minute: what the application wants destroyed gets its run, which has to be approved."""
    bins.bin_watch(requester=system_user("scheduler"))


@shared_task(name=expiry.ARCHIVE_EXPIRE_NIGHTLY)
def archive_expire_nightly() -> None:
    """Every night: archives past their term are destroyed. Two at once ask for the same runs."""
    for run_id in expiry.archive_expire_nightly(requester=system_user("scheduler")):
        wake(run_id)


@shared_task(name=soft.SOFTDELETE_WATCH)
def softdelete_watch() -> None:
    """Every hour, and when beat begins: what migrations took from soft delete is made again."""
    soft.softdelete_watch()

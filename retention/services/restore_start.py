"""Asking for a restore: a new run, or the one that is not over yet."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.models import User

from operations.models import Run
from operations.runs.exceptions import RunBusy
from operations.selectors.runs import run_open_for
from operations.services.run_to_end import run_again, run_to_end
from operations.services.runs import run_create
from retention.models import Archive
from retention.selectors.restore_choice import RestoreChoice

ALL = RestoreChoice()


def restore_request(
    *, archive: Archive, choice: RestoreChoice = ALL, requester: User, reason: str = ""
) -> Run:
    """The archive's open restore, resumed when it had failed or was paused; else a new run.

    Raises:
        RestoreRefused: the archive is not closed, or does not fit its table any more.
        RunBusy: the open restore is one of other rows, or to another place.
    """
    run = run_open_for(kind="archive_restore", subject=archive.name)
    if run is None:
        return run_create(
            kind="archive_restore",
            parameters={"archive": archive.pk, "choice": choice.to_json()},
            requester=requester,
            reason=reason,
            using=archive.run.database,
        )
    if run.parameters["choice"] != choice.to_json():
        raise RunBusy(
            f"{run} is {run.current.label.lower()} and restores something else of this archive: "
            f"let it end first (manage.py run_resume {run.pk}), or cancel it "
            f"(manage.py run_cancel {run.pk})."
        )
    return run_again(run=run, requester=requester, reason=reason)


def archive_restore(
    *,
    archive: Archive,
    choice: RestoreChoice = ALL,
    requester: User,
    reason: str = "",
    on_progress: Callable[[Run], None] | None = None,
) -> Run:
    """Restores in this process, to the end. Returns the run in the state it was left in.

    Raises:
        RestoreRefused: see `restore_request`.
        RunBusy: a living worker restores the archive, or something else of it is under way.
    """
    run = restore_request(archive=archive, choice=choice, requester=requester, reason=reason)
    return run_to_end(run=run, on_progress=on_progress)

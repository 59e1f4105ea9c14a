"""An approval, and the work that follows it at once where it is one short step."""

from __future__ import annotations

from django.contrib.auth.models import User

from operations.models import Run
from operations.runs.kinds import run_kind
from operations.runs.states import OWNED, RunState
from operations.selectors.runs import run_get, runs_with_dead_lease
from operations.services.run_execute import run_execute
from operations.services.runs import run_approve


def run_approve_and_execute(
    *, run_id: int, approver: User, reason: str = "", confirm: str = ""
) -> Run:
    """Approves the run; one of an immediate kind is executed here, so it needs no worker.

    One that was approved before, and whose approver was killed before it was executed, is executed.
    Returns the run: queued, or as it ended.

    Raises:
        ApprovalRefused: see `run_approve`.
    """
    if not run_left_approved(run_get(run_id)):
        run_approve(run_id=run_id, approver=approver, reason=reason, confirm=confirm)
    run = run_get(run_id)
    return run_execute(run_id=run_id) if run_kind(run.kind).immediate else run


def run_left_approved(run: Run) -> bool:
    """An immediate run that was approved and that nobody works on."""
    if not run_kind(run.kind).immediate or run.decision != "approved":
        return False
    if run.current in OWNED:
        return run.pk in runs_with_dead_lease(run_id=run.pk, using=run.database)
    return run.current is RunState.QUEUED

"""What the commands that begin a baseline share."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User

from auditing.models import TrackedTable
from auditing.services.baseline import baseline_run
from operations.commands import CustodyCommand
from operations.models import Run
from operations.runs.present import run_json


def baseline_taken(
    command: CustodyCommand, tracked: TrackedTable, options: dict[str, Any], *, actor: User
) -> Run | None:
    """Takes the images of a table's rows in this process; None when it needs none."""
    with command.run_progress(options, "audit_baseline") as bar:
        return baseline_run(tracked, requester=actor, reason=options["reason"], on_progress=bar)


def baseline_told(run: Run | None) -> tuple[dict[str, Any] | None, list[str]]:
    """The run as JSON, and as lines."""
    if run is None:
        return None, []
    rows = run.result.get("rows", run.done)
    said = f"The baseline has {rows:,} rows."
    if run.state != "succeeded":
        said = (
            f"The baseline is {run.current.label.lower()} (run {run.pk}). {run.error}".strip()
            + f" manage.py run_resume {run.pk} goes on; no change is lost meanwhile."
        )
    return run_json(run), [said]

"""Working on a run in this process, when the one that had it may have been killed a moment ago."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.contrib.auth.models import User

from operations.models import Run
from operations.runs.exceptions import LeaseLost, RunBusy
from operations.runs.states import OWNED, RunState
from operations.selectors.runs import run_get, runs_with_dead_lease
from operations.services.run_execute import run_execute
from operations.services.run_lease import lease_seconds
from operations.services.runs import run_resume


def run_again(*, run: Run, requester: User, reason: str = "") -> Run:
    """An open run that failed, was paused or lost its worker goes on; any other stays as it is."""
    gone = run.current in OWNED and run.pk in runs_with_dead_lease(run_id=run.pk)
    if gone or run.current in (RunState.FAILED, RunState.PAUSED):
        return run_resume(run_id=run.pk, actor=requester, reason=reason)
    return run


def run_to_end(
    *, run: Run, wait: bool = False, on_progress: Callable[[Run], None] | None = None
) -> Run:
    """Executes a run that is queued, once the lease of a killed worker is over.

    Returns it in the state it was left in: one that is awaiting approval, or over, at once.
    Raises RunBusy: a living worker has it.

    Args:
        wait: for another person's approval, when the run needs one.
    """
    while wait and run.current is RunState.AWAITING_APPROVAL:
        time.sleep(1)
        run = run_get(run.pk)
    if run.current not in (RunState.QUEUED, *OWNED):
        return run
    give_up = time.monotonic() + lease_seconds() + 5
    seen = {run.done}
    while True:
        try:
            return run_execute(run_id=run.pk, on_progress=on_progress)
        except LeaseLost:
            return run_get(run.pk)
        except RunBusy:
            seen.add(run_get(run.pk).done)
            # One more batch may be the last COMMIT of the killed; two are a living worker's.
            if time.monotonic() > give_up or len(seen) > 2:
                raise
            time.sleep(0.5)

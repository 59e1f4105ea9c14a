"""Asking for a purge: a new run, or the one that is not over yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.utils import timezone

from operations.exceptions import CustodyError
from operations.models import Run
from operations.runs.exceptions import LeaseLost, RunBusy
from operations.runs.kinds import Plan
from operations.runs.states import OWNED, RunState
from operations.selectors.runs import run_get, run_open_for, runs_with_dead_lease
from operations.services.run_execute import run_execute
from operations.services.run_lease import lease_seconds
from operations.services.runs import run_create, run_resume
from retention.models import RetentionPolicy
from retention.services.purge_plan import purge_plan


@dataclass(frozen=True)
class PurgeAnswer:
    """What became of one policy: a run in some state, or a refusal in words."""

    policy: RetentionPolicy
    run: Run | None
    refusal: str = ""

    @property
    def deleted(self) -> int:
        """Rows that the run has deleted so far."""
        return self.run.done if self.run is not None else 0


def purge_preview(*, policy: RetentionPolicy) -> Plan:
    """What a run begun now would do. Raises CustodyError where it would be refused."""
    return purge_plan(policy=policy, now=timezone.now(), using=policy.database)


def purge_request(*, policy: RetentionPolicy, requester: User, reason: str = "") -> Run:
    """The policy's open run, resumed when it had failed or was paused; else a new one.

    Raises:
        PurgeRefused, Vetoed: see `purge_plan`.
    """
    run = run_open_for(kind="purge", subject=policy.name)
    if run is None:
        return run_create(
            kind="purge",
            parameters={"policy": policy.pk},
            requester=requester,
            reason=reason,
            using=policy.database,
        )
    gone = run.current in OWNED and run.pk in runs_with_dead_lease(run_id=run.pk)
    if gone or run.current in (RunState.FAILED, RunState.PAUSED):
        return run_resume(run_id=run.pk, actor=requester, reason=reason)
    return run


def purge_run(
    *,
    policy: RetentionPolicy,
    requester: User,
    reason: str = "",
    wait: bool = False,
    on_progress: Callable[[Run], None] | None = None,
) -> PurgeAnswer:
    """Purges by one policy in this process, to the end.

    Args:
        wait: for another person's approval, when the run needs one.
    """
    try:
        run = purge_request(policy=policy, requester=requester, reason=reason)
        while wait and run.current is RunState.AWAITING_APPROVAL:
            time.sleep(1)
            run = run_get(run.pk)
        if run.current in (RunState.QUEUED, *OWNED):
            run = _execute(run, on_progress)
        return PurgeAnswer(policy, run_get(run.pk))
    except LeaseLost:
        return PurgeAnswer(policy, run_get(run.pk))
    except CustodyError as error:
        # Also a table that is gone: one policy that cannot go keeps no other from going.
        return PurgeAnswer(policy, None, str(error))


def _execute(run: Run, on_progress: Callable[[Run], None] | None) -> Run:
    """Waits for the lease of a worker that was killed a moment ago, then works."""
    give_up = time.monotonic() + lease_seconds() + 5
    seen = {run.done}
    while True:
        try:
            return run_execute(run_id=run.pk, on_progress=on_progress)
        except RunBusy:
            seen.add(run_get(run.pk).done)
            # One more batch may be the last COMMIT of the killed; two are a living worker's.
            if time.monotonic() > give_up or len(seen) > 2:
                raise
            time.sleep(0.5)

"""Asking for a purge: a new run, or the one that is not over yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.utils import timezone

from operations.exceptions import CustodyError
from operations.models import Run
from operations.runs.kinds import Plan
from operations.selectors.runs import run_open_for
from operations.services.run_to_end import run_again, run_to_end
from operations.services.runs import run_create
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
    return run_again(run=run, requester=requester, reason=reason)


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
        run = run_to_end(run=run, wait=wait, on_progress=on_progress)
        return PurgeAnswer(policy, run)
    except CustodyError as error:
        # Also a table that is gone: one policy that cannot go keeps no other from going.
        return PurgeAnswer(policy, None, str(error))

"""The life of a run: its states, and every move between them that is allowed."""

from __future__ import annotations

from django.db import models


class RunState(models.TextChoices):
    DRAFT = "draft", "Draft"
    PREVIEWED = "previewed", "Previewed"
    AWAITING_APPROVAL = "awaiting_approval", "Awaiting approval"
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    PAUSING = "pausing", "Pausing"
    PAUSED = "paused", "Paused"
    VERIFYING = "verifying", "Verifying"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


_S = RunState

TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    # Asked for, not yet looked at. Planning counts what it would touch and freezes the plan.
    _S.DRAFT: frozenset({_S.PREVIEWED, _S.FAILED, _S.CANCELLED}),
    # The plan is frozen and hashed. It goes by itself, or another person has to look first.
    _S.PREVIEWED: frozenset({_S.AWAITING_APPROVAL, _S.QUEUED, _S.CANCELLED}),
    # Approved: queued. Refused, or withdrawn by the requester: cancelled.
    _S.AWAITING_APPROVAL: frozenset({_S.QUEUED, _S.CANCELLED}),
    # A worker claims it. Nobody owns it, so pausing and cancelling act at once.
    _S.QUEUED: frozenset({_S.RUNNING, _S.PAUSED, _S.CANCELLED}),
    # A worker owns it. Pause and cancel go through pausing, honoured at the next step; when the
    # owner is gone, the sweeper (or the next worker) queues it again.
    _S.RUNNING: frozenset({_S.PAUSING, _S.VERIFYING, _S.QUEUED, _S.FAILED, _S.CANCELLED}),
    # The step that is under way ends first. Resuming before it ended takes the request back.
    # A run whose last step was that one goes on to verifying: there is nothing left to pause.
    _S.PAUSING: frozenset(
        {_S.PAUSED, _S.RUNNING, _S.VERIFYING, _S.QUEUED, _S.FAILED, _S.CANCELLED}
    ),
    _S.PAUSED: frozenset({_S.QUEUED, _S.CANCELLED}),
    # The work is done and committed; what it wrote is read back before it is called done.
    _S.VERIFYING: frozenset({_S.SUCCEEDED, _S.QUEUED, _S.FAILED}),
    # The error is kept. Resuming goes on from the stored cursor.
    _S.FAILED: frozenset({_S.QUEUED, _S.CANCELLED}),
    _S.SUCCEEDED: frozenset(),
    _S.CANCELLED: frozenset(),
}

OWNED = frozenset({_S.RUNNING, _S.PAUSING, _S.VERIFYING})
"""States in which a worker holds the lease."""

ENDED = frozenset({_S.SUCCEEDED, _S.CANCELLED})
"""States that nothing leaves."""

OPEN = frozenset(RunState) - ENDED
"""States of a run that still has something to do, or somebody to decide."""

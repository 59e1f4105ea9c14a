"""What people decide about runs: ask, approve, refuse, pause, resume, cancel.

Every change of state goes through `transition`, under the run's row lock.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from operations.models import Run, RunEvent
from operations.runs.exceptions import ApprovalRefused, NoSuchRun, RunBusy, TransitionRefused
from operations.runs.kinds import Plan, run_kind
from operations.runs.states import ENDED, OPEN, OWNED, TRANSITIONS, RunState
from operations.selectors.runs import run_open_for, runs_with_dead_lease
from operations.services.alerts import alert_raise, alert_resolve


def plan_digest(plan: dict[str, Any], parameters: dict[str, Any]) -> str:
    """SHA-256, in hex, of a plan and its parameters: what an approval binds."""
    text = json.dumps([plan, parameters], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def run_log(run: Run, message: str, *, level: str = "info") -> None:
    RunEvent.objects.create(run=run, message=message, level=level)


def run_lock(run_id: int) -> Run:
    """The run, locked until the end of the transaction. Raises NoSuchRun."""
    try:
        return Run.objects.select_for_update(of=("self",)).get(pk=run_id)
    except Run.DoesNotExist:
        raise NoSuchRun(f"There is no run {run_id}.") from None


def transition(run: Run, to: RunState, message: str, *, level: str = "info") -> None:
    """Moves a locked run to another state, and writes why in its log.

    Raises:
        TransitionRefused: when the table of transitions has no such move.
    """
    if to not in TRANSITIONS[run.current]:
        raise TransitionRefused(
            f"Run {run.pk} is {run.current.label.lower()}; it cannot become {to.label.lower()}."
        )
    run.state = to
    if to in ENDED:
        run.finished_at = timezone.now()
    if to not in OWNED:
        run.worker, run.lease_until, run.backend_pid, run.backend_start = "", None, None, None
    if to is not RunState.PAUSING:
        run.stop_with = ""
    run.save()
    run_log(run, message, level=level)


def queue_again(run: Run, message: str, *, level: str = "warning") -> None:
    """Takes a locked run from its owner. What was asked of that one is asked of the next."""
    stop = run.stop_with
    transition(run, RunState.QUEUED, message, level=level)
    if stop:
        run.stop_with = stop
        run.save(update_fields=["stop_with"])


def run_create(
    *,
    kind: str,
    parameters: dict[str, Any],
    requester: User,
    reason: str = "",
    using: str = "default",
    plan: Plan | None = None,
) -> Run:
    """Plans a run and either queues it or leaves it for another person to approve.

    Args:
        plan: made by the kind's own `plan` a moment ago, where the caller's transaction must not
            last as long as planning does.

    Raises:
        RunBusy: an exclusive kind already has an open run for the same subject.
        CustodyError: whatever the kind's `plan` finds in the way.
    """
    cls = run_kind(kind)
    if plan is None:
        plan = cls.plan(parameters=parameters, using=using)
    run = Run(
        kind=kind,
        subject=plan.subject,
        exclusive_key=f"{kind}:{plan.subject}" if cls.exclusive else "",
        database=using,
        parameters=plan.parameters,
        plan=plan.facts,
        plan_hash=plan_digest(plan.facts, plan.parameters),
        unit=cls.unit,
        total=plan.total,
        requester=requester,
        reason=reason,
        approval_reason=plan.approval_reason,
    )
    try:
        with transaction.atomic():
            run.save()
            run_log(run, f"Asked for by {requester}." + (f" Reason: {reason}" if reason else ""))
            transition(run, RunState.PREVIEWED, f"Planned: {_amount(plan.total, cls.unit)}.")
            if plan.approval_reason:
                transition(run, RunState.AWAITING_APPROVAL, plan.approval_reason, level="warning")
                _ask_for_approval(run)
            else:
                transition(run, RunState.QUEUED, "Queued.")
    except IntegrityError:
        other = run_open_for(kind=kind, subject=plan.subject)
        if other is None:
            raise
        raise RunBusy(
            f"Run {other.pk} for {plan.subject} is {other.current.label.lower()}: "
            "resume or cancel it first."
        ) from None
    return run


def _ask_for_approval(run: Run) -> None:
    alert_raise(
        key=f"run-approval:{run.pk}",
        summary=f"{run} waits for another person's approval.",
        remedy=(
            f"{run.approval_reason} Look at it (manage.py run_show {run.pk}), then decide: "
            f"manage.py run_approve {run.pk} --user NAME, or run_refuse."
        ),
        run=run,
        severity="warning",
    )


def _amount(total: int | None, unit: str) -> str:
    return f"an unknown number of {unit}" if total is None else f"{total:,} {unit}"


def run_approve(*, run_id: int, approver: User, reason: str = "", confirm: str = "") -> Run:
    """The second pair of eyes says yes: the run is queued.

    Args:
        confirm: what the approver typed, where the kind's `confirm_text` wants it.

    Raises:
        ApprovalRefused: the approver asked for it, may not approve, did not type what has to be
            typed, or the plan is not the one that was shown.
    """
    with transaction.atomic():
        run = _decided(run_id, approver, "approved", reason)
        if run.plan_hash != plan_digest(run.plan, run.parameters):
            raise ApprovalRefused(
                f"The plan of run {run.pk} is not the one that was made: refuse it, plan again."
            )
        wanted = run_kind(run.kind).confirm_text(run.plan)
        if wanted and confirm.strip() != wanted:
            raise ApprovalRefused(
                f"Run {run.pk} asks twice: type {wanted} to approve it. Nothing was decided."
            )
        transition(run, RunState.QUEUED, f"Approved by {approver}." + _because(reason))
    alert_resolve(key=f"run-approval:{run_id}")
    return run


def run_refuse(*, run_id: int, approver: User, reason: str = "") -> Run:
    """The second pair of eyes says no: the run is cancelled. Raises ApprovalRefused."""
    with transaction.atomic():
        run = _decided(run_id, approver, "refused", reason)
        transition(run, RunState.CANCELLED, f"Refused by {approver}." + _because(reason))
    alert_resolve(key=f"run-approval:{run_id}")
    return run


def _decided(
    run_id: int, approver: User, decision: Literal["approved", "refused"], reason: str
) -> Run:
    run = run_lock(run_id)
    if run.current is not RunState.AWAITING_APPROVAL:
        raise TransitionRefused(
            f"Run {run.pk} is {run.current.label.lower()}; it does not wait for approval."
        )
    if run.requester_id == approver.pk:
        raise ApprovalRefused(
            f"{approver} asked for run {run.pk}: another person has to approve or refuse it."
        )
    if not approver.has_perm("operations.approve_run"):
        raise ApprovalRefused(f"{approver} has no permission to approve or refuse runs.")
    run.decided_by, run.decided_at = approver, timezone.now()
    run.decision, run.decision_reason = decision, reason
    return run


def run_pause(*, run_id: int, actor: User, reason: str = "") -> Run:
    """Stops after the step under way; at once when no worker owns the run."""
    with transaction.atomic():
        run = run_lock(run_id)
        said = f"Paused by {actor}." + _because(reason)
        if run.current is RunState.PAUSING and run.stop_with == "cancel":
            raise TransitionRefused(f"Run {run.pk} is being cancelled: there is nothing to pause.")
        if run.current in OWNED and runs_with_dead_lease(run_id=run_id):
            transition(run, RunState.QUEUED, "Its worker is gone.")
        if run.current is RunState.RUNNING:
            run.stop_with = "pause"
            transition(run, RunState.PAUSING, said)
        elif run.current is not RunState.PAUSING:
            transition(run, RunState.PAUSED, said)
        return run


def run_resume(*, run_id: int, actor: User, reason: str = "") -> Run:
    """Queues a paused or failed run again, from its stored cursor; takes back a pause."""
    with transaction.atomic():
        run = run_lock(run_id)
        said = f"Resumed by {actor}." + _because(reason)
        gone = run.current in OWNED and bool(runs_with_dead_lease(run_id=run_id))
        if run.current is RunState.PAUSING and run.stop_with == "cancel":
            if not gone:
                raise TransitionRefused(f"Run {run.pk} is being cancelled: start a new one.")
            queue_again(run, "Its worker is gone; still to cancel.")
            return run
        if run.current is RunState.PAUSING and not gone:
            transition(run, RunState.RUNNING, said)
            return run
        if gone:
            said = f"Its worker is gone. {said}"
        elif run.current not in (RunState.PAUSED, RunState.FAILED):
            raise TransitionRefused(
                f"Run {run.pk} is {run.current.label.lower()}: "
                "only a paused or failed run can be resumed."
            )
        run.error, run.dispatched_at, run.losses = "", None, 0
        transition(run, RunState.QUEUED, said)
    alert_resolve(key=f"run-failed:{run_id}")
    return run


def run_cancel(*, run_id: int, actor: User, reason: str = "") -> Run:
    """Ends a run for good after the step under way; what it did stays done, with its proof."""
    with transaction.atomic():
        run = run_lock(run_id)
        said = f"Cancelled by {actor}." + _because(reason)
        if run.current in OWNED and runs_with_dead_lease(run_id=run_id):
            transition(run, RunState.QUEUED, "Its worker is gone.")
        if run.current is RunState.RUNNING:
            run.stop_with = "cancel"
            transition(run, RunState.PAUSING, said)
            return run
        if run.current is RunState.PAUSING:
            run.stop_with = "cancel"
            run.save(update_fields=["stop_with"])
            run_log(run, said)
            return run
        run_end_cancelled(run, said)
    alert_resolve(key=f"run-failed:{run_id}")
    alert_resolve(key=f"run-approval:{run_id}")
    return run


def run_end_cancelled(run: Run, message: str, *, level: str = "info") -> None:
    """Cancels a locked run that nobody works on. What was begun is closed with its proof."""
    if run.current not in OPEN or RunState.CANCELLED not in TRANSITIONS[run.current]:
        raise TransitionRefused(
            f"Run {run.pk} is {run.current.label.lower()}; it cannot be cancelled."
        )
    if run.started_at is not None:
        job = run_kind(run.kind)(run)
        job.open(run)
        run.result = job.finish(run, "cancelled")
    transition(run, RunState.CANCELLED, message, level=level)


def _because(reason: str) -> str:
    return f" Reason: {reason}" if reason else ""

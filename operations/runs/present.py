"""A run as JSON and as lines for a person: the same for every command."""

from __future__ import annotations

from typing import Any

from operations.models import Run


def run_json(run: Run, *, events: bool = False) -> dict[str, Any]:
    """The document that stands under `run`."""
    document: dict[str, Any] = {
        "id": run.pk,
        "kind": run.kind,
        "subject": run.subject,
        "state": run.state,
        "done": run.done,
        "total": run.total,
        "unit": run.unit,
        "rate": round(run.rate, 1) if run.rate else None,
        "eta_seconds": run.eta.total_seconds() if run.eta else None,
        "requester": str(run.requester),
        "reason": run.reason,
        "approval_reason": run.approval_reason,
        "decision": run.decision or None,
        "decided_by": str(run.decided_by) if run.decided_by else None,
        "worker": run.worker or None,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "heartbeat_at": run.heartbeat_at,
        "parameters": run.parameters,
        "plan": run.plan,
        "plan_hash": run.plan_hash,
        "result": run.result,
        "error": run.error or None,
    }
    if events:
        document["events"] = list(run.events.values("at", "level", "message"))
    return document


def run_line(run: Run) -> str:
    """One line: what, how far, and what to do when it needs somebody."""
    total = f" of {run.total:,}" if run.total is not None else ""
    line = f"Run {run.pk}: {run.kind} {run.subject}: {run.current.label.lower()}"
    line += f", {run.done:,}{total} {run.unit}"
    if run.current == "awaiting_approval":
        line += (
            f". {run.approval_reason} Another person: manage.py run_approve {run.pk} --user NAME"
        )
    elif run.error:
        line += f". {run.error}"
    return line

"""Audited tables as JSON and as lines."""

from __future__ import annotations

from typing import Any

from auditing.models import Handling, TrackedTable
from auditing.selectors.tracked import Standing


def tracked_json(tracked: TrackedTable) -> dict[str, Any]:
    columns = list(tracked.columns.filter(dropped_at__isnull=True))
    insignificant = [column.name for column in columns if not column.significant]
    return {
        "table": str(tracked.table),
        "history": str(tracked.history),
        "tracked_at": tracked.tracked_at,
        "untracked_at": tracked.untracked_at,
        "baseline_pending": tracked.baseline_seq is not None,
        "reason_required": tracked.reason_required,
        "excluded": [c.name for c in columns if c.handling == Handling.EXCLUDED],
        "masked": [c.name for c in columns if c.handling == Handling.MASKED],
        "significant": [c.name for c in columns if c.significant] if insignificant else None,
    }


def standing_json(standing: Standing) -> dict[str, Any]:
    return {
        **tracked_json(standing.tracked),
        "ok": not standing.problems,
        "problems": standing.problems,
        "remarks": standing.remarks,
    }


def standing_line(standing: Standing) -> str:
    lines = [f"{standing.tracked}: {'drifted' if standing.problems else 'audited'}"]
    lines += [f"    {text}" for text in (*standing.problems, *standing.remarks)]
    return "\n".join(lines)

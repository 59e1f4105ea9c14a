"""The overview's part about retention: what is due, what runs next, how tables grow."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from operations.admin.show import NOTHING, STATE_COLOURS, ago, badge, lines, number, size, when
from operations.selectors.schedules import next_start
from retention.models import RetentionPolicy
from retention.selectors.bin_amounts import COUNTED, bin_now
from retention.selectors.measures import PolicyState, TableGrowth, policy_states, table_growth
from retention.selectors.policies import RUNNABLE
from retention.services.purge_nightly import PURGE_NIGHTLY

SHOWN = 12
"""Policies on the overview: those with the most due first."""
_MIB = 1024 * 1024
_COLOURS = ("#4f7cac", "#c98443", "#5b9e7a", "#a8617f", "#8577b8")
"""One a table; they can be told apart on paper and on slate."""


def retention_context() -> dict[str, Any]:
    """Keys `policies`, `policies_left`, `due`, `next_night` and `growth` of the template."""
    policies = RetentionPolicy.objects.filter(RUNNABLE)
    states = sorted(policy_states(policies=policies), key=_urgency)
    upcoming = next_start(PURGE_NIGHTLY)
    measured = [state.due_rows for state in states if state.due_rows is not None]
    return {
        "policies": [_shown(state, upcoming) for state in states[:SHOWN]],
        "policies_left": max(len(states) - SHOWN, 0),
        "due": number(sum(measured)) if measured else NOTHING,
        "due_hint": _due_hint(states),
        "next_night": when(upcoming, empty="switched off"),
        "growth": _growth(*table_growth()),
    }


def bin_tile() -> tuple[str, str, str, str]:
    """Records that wait in the bin, and when the first of them may be destroyed."""
    now = bin_now()
    more = "over " if now.deletions >= COUNTED else ""
    hint = f"next to go {ago(now.next_at)}" if now.next_at is not None else "nothing is due"
    if now.next_at is not None and now.next_at <= timezone.now():
        hint = "the first may go now"
    page = f"{reverse('admin:retention_deletion_changelist')}?state=deleted"
    return "In the bin", f"{more}{number(now.records)}", hint, page


def _urgency(state: PolicyState) -> tuple[bool, bool, int, str]:
    trouble = bool(state.measure and state.measure.problem)
    return (state.waiting is None, not trouble, -(state.due_rows or 0), state.policy.name)


def _due_hint(states: list[PolicyState]) -> str:
    taken = [state.measure.at for state in states if state.measure is not None]
    return f"measured {ago(min(taken))}" if taken else "not measured yet"


def _shown(state: PolicyState, upcoming: datetime | None) -> dict[str, Any]:
    policy, measure = state.policy, state.measure
    held = measure.held_rows if measure is not None else None
    return {
        "name": policy.name,
        "url": reverse("admin:retention_retentionpolicy_change", args=[policy.pk]),
        "table": str(policy.table),
        "due": _about(measure is not None and measure.estimated, number(state.due_rows)),
        "bytes": size(state.due_bytes) if state.due_bytes else "",
        "held": number(held) if held else NOTHING,
        "last": _last(state),
        "next": _next(state, upcoming),
        "problem": measure.problem if measure is not None else "",
    }


def _about(estimated: bool, text: str) -> str:
    return f"about {text}" if estimated else text


def _last(state: PolicyState) -> SafeString | str:
    if state.last is None:
        return "never"
    run = state.last
    return lines(badge(run.current.label, STATE_COLOURS[run.state]), ago(run.created_at))


def _next(state: PolicyState, upcoming: datetime | None) -> SafeString | str:
    if state.waiting is not None:
        return badge("Stopped for approval", "warning")
    return ago(upcoming) if upcoming is not None else badge("Off", "warning")


def _growth(days: list[date], tables: list[TableGrowth]) -> dict[str, Any] | None:
    """What unfold's line chart reads, and the same as rows; None before anything was measured."""
    if not tables:
        return None
    chart = {
        "labels": [f"{day:%-d %b}" for day in days],
        "datasets": [
            {
                "label": table.table,
                "data": [None if b is None else round(b / _MIB, 2) for b in table.bytes],
                "borderColor": colour,
                "backgroundColor": colour,
                "spanGaps": True,
            }
            for table, colour in zip(tables, _COLOURS, strict=False)
        ],
    }
    return {
        "chart": json.dumps(chart),
        "rows": [
            _growth_row(table, colour) for table, colour in zip(tables, _COLOURS, strict=False)
        ],
    }


def _growth_row(table: TableGrowth, colour: str) -> dict[str, str]:
    known = [each for each in table.bytes if each is not None]
    change = known[-1] - known[0]
    grown = f"+{size(change)}" if change > 0 else (f"-{size(-change)}" if change else "unchanged")
    return {
        "table": table.table,
        "colour": colour,
        "size": size(known[-1]),
        "change": grown if len(known) > 1 else NOTHING,
    }

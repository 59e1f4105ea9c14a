"""The list of policies: how each stands, what is due, when it ran and runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import JSONObject
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime
from django.utils.safestring import SafeString

from operations.admin.show import NOTHING, STATE_COLOURS, ago, badge, lines, number
from operations.models import Run
from operations.runs.states import OPEN, RunState
from retention.models import PolicyMeasure, RetentionPolicy
from retention.selectors.policies import POLICY_CHANGE, RUNNABLE

STATES: dict[str, tuple[str, Q]] = {
    "force": ("In force", RUNNABLE),
    "waits": ("Waits for approval", Q(change_waits=True)),
    "trouble": ("Does not fit its table", Q(problem__gt="")),
    "ever": ("Keeps for ever", Q(enabled=True, keep_hours__isnull=True, soft_delete=False)),
    "off": ("Off", Q(enabled=False)),
    "soft": ("Into the bin first", Q(enabled=True, soft_delete=True)),
}


def with_states(policies: QuerySet[RetentionPolicy]) -> QuerySet[RetentionPolicy]:
    """With what a line of the list shows: one query, however many policies."""
    runs = Run.objects.filter(subject=OuterRef("name")).order_by("-id")
    waiting = runs.filter(kind=POLICY_CHANGE, state__in=OPEN)
    facts = JSONObject(id="id", state="state", at="created_at")
    newest = PolicyMeasure.objects.filter(policy=OuterRef("pk")).order_by("-on")
    measured = JSONObject(due="due_rows", estimated="estimated", at="at")
    return policies.annotate(
        last_run_facts=Subquery(runs.filter(kind="purge").values(facts=facts)[:1]),
        change_facts=Subquery(waiting.values(facts=facts)[:1]),
        change_waits=Exists(waiting),
        measure_facts=Subquery(newest.values(facts=measured)[:1]),
        problem=Subquery(newest.values("problem")[:1]),
    )


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(name, title) for name, (title, _) in STATES.items()]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[RetentionPolicy]
    ) -> QuerySet[RetentionPolicy]:
        found = STATES.get(self.value() or "")
        return queryset.filter(found[1]) if found else queryset


def works(policy: RetentionPolicy) -> bool:
    """Purges work by it."""
    return policy.enabled and policy.destroys


def state_badge(policy: Any) -> SafeString:
    """Of a policy that came `with_states`: what somebody has to know first."""
    if policy.change_facts:
        failed = policy.change_facts["state"] == RunState.FAILED
        text = "Change failed" if failed else "Waits for approval"
        return badge(text, "danger" if failed else "warning")
    if not policy.enabled:
        return badge("Off")
    if policy.problem:
        return badge("Does not fit its table", "danger")
    if policy.keeps_for_ever and not policy.soft_delete:
        return badge("Keeps for ever", "success")
    return badge("In force", "success")


def due_shown(policy: Any) -> SafeString | str:
    """Rows due when it was last measured."""
    facts = policy.measure_facts
    if not facts or facts["due"] is None:
        return NOTHING
    about = "about " if facts["estimated"] else ""
    at = parse_datetime(facts["at"])
    return lines(f"{about}{number(facts['due'])}", ago(at) if at else "")


def last_run(policy: Any) -> SafeString | str:
    facts = policy.last_run_facts
    if not facts:
        return "never"
    state = RunState(facts["state"])
    at = parse_datetime(facts["at"])
    return lines(badge(state.label, STATE_COLOURS[state]), ago(at) if at else "")

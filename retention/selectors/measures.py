"""Reads of what was measured: due rows by policy, growth by table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Exists, OuterRef, QuerySet, Subquery, Sum
from django.utils import timezone

from operations.models import Run
from operations.runs.states import RunState
from retention.models import PolicyMeasure, RetentionPolicy, TableMeasure

GROWTH_DAYS = 90


@dataclass(frozen=True)
class PolicyState:
    """One policy as the overview shows it."""

    policy: RetentionPolicy
    measure: PolicyMeasure | None
    """The newest one; None when it was never measured."""
    removed_since: int
    """Rows that runs removed after the measure was taken."""
    last: Run | None
    waiting: Run | None
    """A run that was stopped for approval."""

    @property
    def due_rows(self) -> int | None:
        """Due when measured, less what went since; None when not known."""
        if self.measure is None or self.measure.due_rows is None:
            return None
        return max(self.measure.due_rows - self.removed_since, 0)

    @property
    def due_bytes(self) -> int | None:
        if self.measure is None or self.measure.due_bytes is None or not self.measure.due_rows:
            return 0 if self.due_rows == 0 else None
        return round(self.measure.due_bytes * (self.due_rows or 0) / self.measure.due_rows)


@dataclass(frozen=True)
class TableGrowth:
    """One table's size on each day, oldest first; None for a day without a measure."""

    table: str
    bytes: tuple[int | None, ...]

    @property
    def newest(self) -> int:
        """Bytes when it was measured last."""
        return next((each for each in reversed(self.bytes) if each is not None), 0)


def policy_states(*, policies: QuerySet[RetentionPolicy]) -> list[PolicyState]:
    """In the order given. A fixed number of queries, however many policies and runs."""
    last = Run.objects.filter(kind="purge", subject=OuterRef("name")).order_by("-id")
    newest = PolicyMeasure.objects.filter(policy=OuterRef("pk")).order_by("-on")
    found = policies.annotate(
        last_run=Subquery(last.values("pk")[:1]), newest_measure=Subquery(newest.values("pk")[:1])
    )
    light = Run.objects.defer("parameters", "plan", "cursor", "result")
    runs = {run.subject: run for run in light.filter(pk__in=found.values("last_run"))}
    measures = {
        measure.policy_id: measure
        for measure in PolicyMeasure.objects.filter(pk__in=found.values("newest_measure"))
    }
    removed = _removed_since(list(measures.values()))
    return [
        PolicyState(
            policy=policy,
            measure=measures.get(policy.pk),
            removed_since=removed.get(policy.name, 0),
            last=runs.get(policy.name),
            waiting=_waiting(runs.get(policy.name)),
        )
        for policy in found
    ]


def _waiting(run: Run | None) -> Run | None:
    # A policy has one open run at the most, and it is its newest.
    return run if run is not None and run.current is RunState.AWAITING_APPROVAL else None


def _removed_since(measures: Sequence[PolicyMeasure]) -> dict[str, int]:
    """Rows that runs removed which ended after their policy was measured, by policy's name."""
    taken = PolicyMeasure.objects.filter(policy__name=OuterRef("subject")).order_by("-on")
    runs = Run.objects.filter(
        kind="purge",
        # An index leads to the runs since then.
        finished_at__gte=min((measure.at for measure in measures), default=timezone.now()),
        finished_at__gt=Subquery(taken.values("at")[:1]),
    )
    return dict(runs.values_list("subject").annotate(Sum("done")).order_by())


def table_growth(
    *, now: datetime | None = None, most: int = 5, days: int = GROWTH_DAYS
) -> tuple[list[date], list[TableGrowth]]:
    """The days, and the largest tables among those measured, largest first."""
    today = timezone.localdate(now)
    dates = [today - timedelta(days=ago) for ago in reversed(range(days))]
    newest = TableMeasure.objects.filter(on__gte=dates[0]).order_by("-on").values("on")[:1]
    largest = TableMeasure.objects.filter(on=Subquery(newest)).order_by("-bytes")
    same = largest.filter(
        schema_name=OuterRef("schema_name"), table_name=OuterRef("table_name")
    ).filter(pk__in=Subquery(largest.values("pk")[:most]))
    found: dict[tuple[str, str, str], dict[date, int]] = {}
    for each in TableMeasure.objects.filter(Exists(same), on__gte=dates[0]):
        key = (each.database, each.schema_name, each.table_name)
        found.setdefault(key, {})[each.on] = each.bytes
    growth = [
        TableGrowth(f"{schema}.{name}", tuple(sizes.get(day) for day in dates))
        for (_, schema, name), sizes in found.items()
    ]
    return dates, sorted(growth, key=lambda table: -table.newest)

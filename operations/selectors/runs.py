"""Reads of runs."""

from __future__ import annotations

from django.db import connections
from django.db.models import Max, QuerySet

from operations.models import Run
from operations.runs.exceptions import NoSuchRun
from operations.runs.states import OPEN, OWNED, RunState

_LEASES_DEAD = """
SELECT r.id
FROM custody.operations_run r
WHERE r.state = ANY(%(owned)s)
  AND (%(run)s::bigint IS NULL OR r.id = %(run)s)
  AND (r.lease_until IS NULL
       OR r.lease_until < clock_timestamp()
       -- The owner's connection ends with the owner: a killed worker need not be waited for.
       OR NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a
                      WHERE a.pid = r.backend_pid AND a.backend_start = r.backend_start))
ORDER BY r.id
"""


def run_get(number: int | str) -> Run:
    """Raises NoSuchRun."""
    try:
        return Run.objects.select_related("requester", "decided_by").get(pk=int(number))
    except (Run.DoesNotExist, ValueError):
        raise NoSuchRun(f"There is no run {number}. `manage.py run_list` shows them.") from None


def run_list(
    *, state: str | None = None, kind: str | None = None, open_only: bool = False
) -> QuerySet[Run]:
    """Newest first."""
    runs = Run.objects.select_related("requester", "decided_by")
    if state:
        runs = runs.filter(state=state)
    if kind:
        runs = runs.filter(kind=kind)
    if open_only:
        runs = runs.filter(state__in=OPEN)
    return runs


def run_open_for(*, kind: str, subject: str) -> Run | None:
    """The one run of an exclusive kind that is not over yet for this subject."""
    return Run.objects.filter(kind=kind, subject=subject, state__in=OPEN).order_by("-id").first()


def runs_with_dead_lease(*, run_id: int | None = None, using: str = "default") -> list[int]:
    """Runs that have an owner who is gone, or who gave no sign of life for a whole lease."""
    with connections[using].cursor() as cursor:
        cursor.execute(_LEASES_DEAD, {"owned": [s.value for s in OWNED], "run": run_id})
        return [row[0] for row in cursor.fetchall()]


def recent_maximum(*, kind: str, subject: str, runs: int = 10) -> int | None:
    """The most units that one of the last `runs` successful runs did; None without any."""
    last = (
        Run.objects.filter(kind=kind, subject=subject, state=RunState.SUCCEEDED, done__gt=0)
        .order_by("-id")
        .values("done")[:runs]
    )
    maximum: int | None = last.aggregate(most=Max("done"))["most"]
    return maximum

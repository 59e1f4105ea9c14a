"""Runs that nobody gets on with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Max
from django.db.models.functions import Coalesce
from django.utils import timezone

from operations.models import Run
from operations.runs.states import OPEN, OWNED, RunState
from operations.selectors.runs import runs_with_dead_lease

PATIENCE = timedelta(minutes=5)
"""A queued run that no free worker took for so long is stalled."""
MOST_LOSSES = 3
"""Workers that may be lost without a step in between."""


@dataclass(frozen=True)
class StalledRun:
    run: Run
    why: str
    """A sentence that stays the same for as long as the reason does."""
    remedy: str


def runs_stalled(*, now: datetime | None = None) -> list[StalledRun]:
    """Runs that wait although no other run keeps the workers busy, or that end their workers."""
    moment = now or timezone.now()
    losing = [_losing(run) for run in Run.objects.filter(losses__gte=MOST_LOSSES, state__in=OPEN)]
    known = {stalled.run.pk for stalled in losing}
    waiting = [] if _workers_busy() else _queued_before(moment - PATIENCE)
    return losing + [_untaken(run, at) for run, at in waiting if run.pk not in known]


def _workers_busy() -> bool:
    gone = runs_with_dead_lease()
    return Run.objects.filter(state__in=OWNED).exclude(pk__in=gone).exists()


def _queued_before(moment: datetime) -> list[tuple[Run, datetime]]:
    # The last line of a queued run's log is the one that queued it.
    runs = (
        Run.objects.filter(state=RunState.QUEUED)
        .annotate(queued_at=Coalesce(Max("events__at"), "created_at"))
        .filter(queued_at__lt=moment)
        .order_by("pk")
    )
    return [(run, run.queued_at) for run in runs]


def _untaken(run: Run, since: datetime) -> StalledRun:
    return StalledRun(
        run,
        f"no worker took it since {timezone.localtime(since):%Y-%m-%d %H:%M}",
        "Start a worker: manage.py serve, or celery -A config.celery worker. "
        "`manage.py doctor` says which process is missing.",
    )


def _losing(run: Run) -> StalledRun:
    return StalledRun(
        run,
        f"{run.losses} workers in a row ended while they worked on it, and it got no further",
        "Look in the workers' logs for what ended them (memory, a time limit), mend it; until then "
        f"pause it: manage.py run_pause {run.pk}",
    )

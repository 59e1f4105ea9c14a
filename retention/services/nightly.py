"""What the jobs of the night have in common: no policy that cannot go keeps another from going."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import DataError, ProgrammingError

from operations.exceptions import CustodyError
from operations.models import Run
from operations.runs.exceptions import RunBusy
from operations.runs.states import RunState
from operations.selectors.runs import run_open_for
from operations.services.alerts import alert_raise, alert_resolve, alerts_resolve_others


@dataclass(frozen=True)
class Wish:
    """A run that one policy is to have tonight."""

    policy: str
    request: Callable[[], Run | None]
    """Gives the run, new or open; None when there is nothing to do."""
    failed: str
    """What is said when it does not go; the reason follows."""
    remedy: str


def nightly_ask(*, kind: str, alerts: str, wishes: Sequence[Wish]) -> list[int]:
    """Asks for each run; returns the queued ones, which want a worker.

    A run that somebody paused stays paused. What does not go becomes an alert, which is over when
    it goes, or when its policy is wished no more. Raises OperationalError when the database is
    gone.

    Args:
        alerts: what the keys of the alerts begin with; the policy's name follows.
    """
    alerts_resolve_others(prefix=alerts, current={f"{alerts}{wish.policy}" for wish in wishes})
    asked = [_ask(kind, f"{alerts}{wish.policy}", wish) for wish in wishes]
    return [run_id for run_id in asked if run_id is not None]


def _ask(kind: str, key: str, wish: Wish) -> int | None:
    run = run_open_for(kind=kind, subject=wish.policy)
    if run is not None and run.current in (RunState.PAUSED, RunState.PAUSING):
        resume = f"Let it go on: manage.py run_resume {run.pk}"
        _say(key, wish, f"{run} is paused.", resume)
        return None
    try:
        run = wish.request()
    except RunBusy:
        # Somebody asked in the same moment.
        return None
    except (CustodyError, ProgrammingError, DataError) as error:
        _say(key, wish, " ".join(str(error).split()), wish.remedy)
        return None
    alert_resolve(key=key)
    return run.pk if run is not None and run.current is RunState.QUEUED else None


def _say(key: str, wish: Wish, why: str, remedy: str) -> None:
    alert_raise(
        key=key,
        summary=f"{wish.failed}: {why}",
        remedy=f"{why}\n{remedy}",
        severity="warning",
    )

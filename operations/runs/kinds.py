"""A kind of run: what is done, step by step. The engine keeps everything else."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from operations.exceptions import CustodyError, UsageError
from operations.models import Run

Outcome = Literal["complete", "cancelled"]
Beat = Callable[[], None]
"""Called between pieces of long work outside a step: renews the lease, raises when it is lost."""


class UnknownRunKind(UsageError):
    """No kind of run has this name."""


class PlanOutdated(CustodyError):
    """What was planned and perhaps approved is no longer what would be done: plan again."""

    exit_code = 3


class StepStalled(CustodyError):
    """The step could not become durable within its time and was rolled back; try it again."""


@dataclass(frozen=True)
class Plan:
    """What a run would do, frozen before anybody approves it."""

    subject: str
    facts: dict[str, Any]
    """JSON: everything an approver is shown. Its hash is what an approval binds."""
    total: int | None
    """Units of work; None when not known."""
    parameters: dict[str, Any]
    """JSON: all that the steps need."""
    approval_reason: str = ""
    """Why another person has to look first; empty when the run may go."""


@dataclass(frozen=True)
class Step:
    """What one committed step did."""

    cursor: dict[str, Any]
    """JSON: where the next step begins."""
    done: int
    finished: bool
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Throttle:
    """Why, and for how many seconds, the next step waits."""

    seconds: float
    reason: str
    again: bool = False
    """After the wait it is asked again, until the reason is gone (or ten minutes have passed)."""


class RunKind(ABC):
    """One instance lives as long as one worker owns the run.

    Subclasses set `name` (also the queue's and the command's stem), `title` and `unit`, and
    register with `@register`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str] = "rows"
    exclusive: ClassVar[bool] = True
    """Only one open run for the same subject."""
    immediate: ClassVar[bool] = False
    """All its work is one short step: who approves it does it at once, without a worker."""

    def __init__(self, run: Run) -> None:
        self.run_id: int = run.pk
        self.using: str = run.database
        self.parameters: dict[str, Any] = run.parameters

    @classmethod
    @abstractmethod
    def plan(cls, *, parameters: dict[str, Any], using: str) -> Plan:
        """Looks, changes nothing. Raises CustodyError when it cannot or must not be done."""

    @classmethod
    def confirm_text(cls, plan: dict[str, Any]) -> str:  # noqa: ARG003
        """What the approver has to type as well, because the plan is more dangerous than most.

        Empty when a yes is enough. No caller gets round it: `run_approve` asks.
        """
        return ""

    @classmethod
    def plan_lines(cls, plan: dict[str, Any]) -> list[str]:
        """The plan as lines for whoever decides at a terminal."""
        return [
            f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
            for name, value in plan.items()
            if value
        ]

    def open(self, run: Run) -> None:
        """At the start of an ownership, under the run's row lock: clear what a killed owner left.

        Whoever committed, committed before this lock was granted.
        """

    def prepare(self, beat: Beat) -> None:
        """Before each attempt at a step, outside a transaction: what takes longer than a step may.

        It holds no lock that the governed application could wait for, and leaves nothing that a
        step relies on after the session is lost: then it is called again.
        """

    @abstractmethod
    def step(self, run: Run) -> Step:
        """One slice of work, in the transaction that stores its cursor, under the run's lock.

        Whatever must be durable before the commit is durable when this returns.
        """

    def committed(self) -> None:
        """The last step is durable in the database."""

    def rolled_back(self, error: BaseException) -> None:
        """The last step is certainly not in the database: undo its files, take smaller bites."""

    def lost(self) -> None:
        """Another worker owns the run. Undo the last step's files if it is not in the database.

        Nothing of ours can be committed any more, so what the database says now is final.
        """

    def recovered(self, error: BaseException, beat: Beat) -> None:
        """Before a step that failed is tried again, holding no lock: wait until it can work."""

    def throttle(self) -> Throttle | None:
        """Asked before each step, outside a transaction."""
        return None

    def verify(self, run: Run, beat: Beat) -> None:
        """Read back what was written, outside a transaction. Raises CustodyError when wrong."""

    def finish(self, run: Run, outcome: Outcome) -> dict[str, Any]:
        """In the transaction of the last transition; returns the run's result as JSON.

        Must be repeatable: a worker killed before the commit leaves it to the next one.
        """
        return {}


_kinds: dict[str, type[RunKind]] = {}


def register(kind: type[RunKind]) -> type[RunKind]:
    """Class decorator: makes the kind known under its name."""
    _kinds[kind.name] = kind
    return kind


def run_kind(name: str) -> type[RunKind]:
    """Raises UnknownRunKind."""
    try:
        return _kinds[name]
    except KeyError:
        known = ", ".join(sorted(_kinds)) or "none"
        raise UnknownRunKind(f"There is no kind of run named {name!r}; known: {known}.") from None


def run_kinds() -> dict[str, type[RunKind]]:
    return dict(_kinds)

"""A kind of run for the tests: it deletes the rows of `app.things`, two a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db import connection, connections

from operations.models import Run
from operations.runs import kinds
from operations.runs.kinds import Beat, Outcome, Plan, RunKind, Step, Throttle
from operations.services.runs import run_create

THINGS = 10


class Sweep(RunKind):
    name = "sweep"
    title = "Sweep"
    unit = "things"

    before_step: ClassVar[Callable[[Run], None] | None] = None
    after_delete: ClassVar[Callable[[Run], None] | None] = None
    throttling: ClassVar[Callable[[], Throttle | None] | None] = None
    verifying: ClassVar[Callable[[], None] | None] = None
    heard: ClassVar[list[str]] = []

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        if self.parameters.get("broken"):
            raise LookupError("what it needs is not there")

    @classmethod
    def plan(cls, *, parameters: dict[str, Any], using: str) -> Plan:  # noqa: ARG003
        return Plan(
            subject=parameters.get("subject", "things"),
            facts={"things": things(), "why": parameters.get("why", "")},
            total=things(),
            parameters=parameters,
            approval_reason=parameters.get("approval", ""),
        )

    def open(self, run: Run) -> None:
        self.heard.append("open")

    def step(self, run: Run) -> Step:
        if Sweep.before_step is not None:
            Sweep.before_step(run)
        with connections[self.using].cursor() as cursor:
            cursor.execute(
                "DELETE FROM app.things WHERE id IN (SELECT id FROM app.things ORDER BY id LIMIT 2)"
            )
            count = cursor.rowcount
        if Sweep.after_delete is not None:
            Sweep.after_delete(run)
        # Like an empty window: the cursor may stay as it is.
        return Step({"deleted": run.done + count}, count, finished=count == 0)

    def committed(self) -> None:
        self.heard.append("committed")

    def rolled_back(self, error: BaseException) -> None:
        self.heard.append(f"rolled back: {type(error).__name__}")

    def lost(self) -> None:
        self.heard.append("lost")

    def throttle(self) -> Throttle | None:
        return Sweep.throttling() if Sweep.throttling is not None else None

    def verify(self, run: Run, beat: Beat) -> None:
        if Sweep.verifying is not None:
            Sweep.verifying()

    def finish(self, run: Run, outcome: Outcome) -> dict[str, Any]:
        return {"outcome": outcome, "done": run.done}


def things() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM app.things")
        return int(cursor.fetchone()[0])


@contextmanager
def sweeping() -> Iterator[type[Sweep]]:
    """The kind is known, and does nothing special."""
    kinds.register(Sweep)
    try:
        _reset()
        yield Sweep
    finally:
        kinds._kinds.pop(Sweep.name)
        _reset()


def _reset() -> None:
    Sweep.before_step = Sweep.after_delete = Sweep.throttling = Sweep.verifying = None
    Sweep.heard = []


def make_things(count: int = THINGS) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS app.things (id int PRIMARY KEY)")
        cursor.execute("INSERT INTO app.things SELECT generate_series(1, %s)", [count])


def sweep_create(person: User, **parameters: Any) -> Run:
    return run_create(kind="sweep", parameters=parameters, requester=person)


def set_owner(run: Run, *, alive: bool) -> None:
    """As if a worker owned it: this session, or one that is gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE custody.operations_run SET fence = fence + 1, worker = 'w',"
            " lease_until = clock_timestamp() + make_interval(secs => %s),"
            " heartbeat_at = clock_timestamp(), backend_pid = a.pid,"
            " backend_start = a.backend_start - make_interval(secs => %s)"
            " FROM pg_stat_activity a WHERE a.pid = pg_backend_pid() AND id = %s",
            [60 if alive else -1, 0 if alive else 1, run.pk],
        )
    run.refresh_from_db()

"""Whatever people and workers do in whatever order, a run keeps to its table of transitions."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from operations.models import Run, RunEvent
from operations.runs.exceptions import ApprovalRefused, LeaseLost, RunBusy, TransitionRefused
from operations.runs.kinds import run_kind
from operations.runs.states import ENDED, OWNED, TRANSITIONS, RunState
from operations.services.run_execute import _Engine
from operations.services.run_lease import lease_take, run_sweep
from operations.services.runs import (
    run_approve,
    run_cancel,
    run_pause,
    run_refuse,
    run_resume,
)
from tests.effort import examples

from .sweeping import THINGS, make_things, sweep_create, sweeping, things

MOVES = """
CREATE TABLE app.moves (was text, became text);
CREATE FUNCTION app.note_move() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN INSERT INTO app.moves VALUES (old.state, new.state); RETURN NULL; END';
CREATE TRIGGER note_move AFTER UPDATE OF state ON custody.operations_run FOR EACH ROW
WHEN (old.state <> new.state) EXECUTE FUNCTION app.note_move()
"""


class Keeper:
    def beat(self) -> None:
        """A worker that was stopped learns of it only from the database."""


class Life(RuleBasedStateMachine):
    """One run, people who decide, workers who take it, work on it, and die or are only slow."""

    def __init__(self) -> None:
        super().__init__()
        self.asker, self.officer = User.objects.order_by("pk")[:2]
        self.workers: list[_Engine] = []
        self.fence = 0
        self.over = ""

    @initialize(approval=st.sampled_from(["", "It is a lot."]))
    def create(self, approval: str) -> None:
        execute("TRUNCATE app.things, app.moves")
        RunEvent.objects.all().delete()
        Run.objects.all().delete()
        make_things()
        self.run_id = sweep_create(self.asker, approval=approval).pk

    @property
    def run(self) -> Run:
        return Run.objects.get(pk=self.run_id)

    # What people do.

    @rule(decide=st.sampled_from([run_pause, run_resume, run_cancel]))
    def decide(self, decide: Any) -> None:
        with suppress(TransitionRefused):
            decide(run_id=self.run_id, actor=self.asker)

    @rule(decide=st.sampled_from([run_approve, run_refuse]), own=st.booleans())
    def judge(self, decide: Any, own: bool) -> None:
        waiting = self.run.current is RunState.AWAITING_APPROVAL
        try:
            decide(run_id=self.run_id, approver=self.asker if own else self.officer)
        except TransitionRefused:
            assert not waiting
        except ApprovalRefused:
            assert own
        else:
            assert waiting
            assert not own

    # What workers do.

    @rule()
    def take(self) -> None:
        state, owned_by_living = self.run.current, self.alive
        try:
            run = lease_take(run_id=self.run_id)
        except RunBusy:
            assert owned_by_living
        except TransitionRefused:
            assert state not in (RunState.QUEUED, *OWNED)
        else:
            assert not owned_by_living
            self.workers.append(_Engine(run, run_kind("sweep")(run), Keeper(), lambda _run: None))

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        """Any worker may go on at any time, also one that was followed long ago."""
        worker = data.draw(st.sampled_from(self.workers))
        before = (self.run.done, self.run.state, things())
        try:
            if self.run.current is RunState.VERIFYING:
                worker._finish()
            else:
                worker._step()
        except LeaseLost:
            assert (self.run.done, self.run.state, things()) == before
        else:
            assert worker.fence == self.run.fence

    @rule(killed=st.booleans())
    def die(self, killed: bool) -> None:
        """The owner's process is gone, or it is only stopped and its lease runs out."""
        lease = "1 hour" if killed else "-1 second"
        execute(
            "UPDATE custody.operations_run SET backend_pid = 0,"
            f" lease_until = clock_timestamp() + interval '{lease}' WHERE worker <> ''"
        )

    @rule()
    def sweep(self) -> None:
        run_sweep()

    # What always holds.

    @property
    def alive(self) -> bool:
        run = self.run
        return run.current in OWNED and run.backend_pid not in (None, 0)

    @invariant()
    def done_is_what_is_gone(self) -> None:
        assert self.run.done == THINGS - things()

    @invariant()
    def every_move_is_in_the_table(self) -> None:
        for was, became in execute("SELECT was, became FROM app.moves"):
            assert RunState(became) in TRANSITIONS[RunState(was)], (was, became)

    @invariant()
    def the_fence_only_rises(self) -> None:
        assert self.run.fence >= self.fence
        self.fence = self.run.fence

    @invariant()
    def the_ended_stay_ended(self) -> None:
        run = self.run
        if self.over:
            assert run.state == self.over
        if run.current in ENDED:
            self.over = run.state
            assert run.worker == ""
            if run.started_at is not None:
                outcome = "complete" if run.state == "succeeded" else "cancelled"
                assert run.result == {"outcome": outcome, "done": run.done}

    @invariant()
    def only_a_run_that_is_owned_has_a_worker(self) -> None:
        assert (self.run.worker != "") == (self.run.current in OWNED)

    def teardown(self) -> None:
        """From wherever it is, it can be brought to its end."""
        if not hasattr(self, "run_id"):
            return
        for _ in range(5 * THINGS):
            state = self.run.current
            if state in ENDED:
                break
            if state is RunState.AWAITING_APPROVAL:
                run_approve(run_id=self.run_id, approver=self.officer)
            elif state in (RunState.PAUSED, RunState.FAILED):
                run_resume(run_id=self.run_id, actor=self.asker)
            elif state in OWNED and self.alive:
                self.newest_works()
            else:
                self.take()
        self.done_is_what_is_gone()
        self.every_move_is_in_the_table()
        self.the_ended_stay_ended()
        assert self.run.current in ENDED
        if self.run.current is RunState.SUCCEEDED:
            assert things() == 0

    def newest_works(self) -> None:
        worker = self.workers[-1]
        if self.run.current is RunState.VERIFYING:
            worker._finish()
        else:
            worker._step()


def execute(statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


@pytest.mark.usefixtures("governed")
def test_a_run_keeps_to_its_table_and_what_it_says_it_did_is_what_is_gone() -> None:
    User.objects.create_user("asker")
    User.objects.create_superuser("officer", password="a long enough password")
    make_things(0)
    execute(MOVES)
    try:
        with sweeping():
            run_state_machine_as_test(
                Life,
                settings=settings(
                    max_examples=examples(20),
                    stateful_step_count=25,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
    finally:
        execute("DROP TRIGGER note_move ON custody.operations_run")

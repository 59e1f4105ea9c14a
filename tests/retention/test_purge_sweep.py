"""A purge walks where rows are due, and finds those that moved all the same, in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User

from operations.models import Run
from operations.services.run_execute import run_execute
from retention.services import purge
from retention.services.purge_start import purge_request, purge_run

from .purging import assert_whole, live, make_events, make_policy

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]
Connect = Callable[[], psycopg.Connection]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "_PAGES", (4, 1, 4))


@pytest.mark.parametrize("archive", [True, False])
def test_rows_that_moved_behind_the_walk_are_swept_up(
    archive: bool, execute: Execute, person: User, other_session: Connect
) -> None:
    make_events(execute, due=600)
    application = other_session()
    moved: list[int] = []

    def move_rows(run: Run) -> None:
        if moved or run.done == 0:
            return
        # What the first batch deleted makes room, and the new version of a late row goes there;
        # VACUUM can make it only when no snapshot is older than the batch.
        for late in range(500, 600):
            application.execute("VACUUM app.events")
            place = application.execute(
                "UPDATE app.events SET kind = 'moved' WHERE id = %s RETURNING ctid < '(4,0)'",
                [late],
            )
            if place.fetchone() == (True,):
                moved.append(late)
                return
            time.sleep(0.05)

    policy = make_policy(archive=archive)
    run = purge_run(policy=policy, requester=person, on_progress=move_rows).run
    assert run is not None
    assert moved
    assert (run.state, run.done, run.result["passes"]) == ("succeeded", 600, 2)
    assert execute("SELECT count(*) FROM app.events WHERE id <= 600") == [(0,)]


def test_a_run_that_found_all_that_was_counted_takes_one_pass(
    execute: Execute, person: User
) -> None:
    make_events(execute, due=600)
    before = live()
    run = purge_run(policy=make_policy(), requester=person).run
    assert run is not None
    assert (run.state, run.done, run.result["passes"]) == ("succeeded", 600, 1)
    assert_whole(before)


def test_rows_that_others_deleted_meanwhile_are_not_waited_for(
    execute: Execute, person: User, other_session: Connect
) -> None:
    make_events(execute, due=600)
    application = other_session()

    def delete_rows(run: Run) -> None:
        application.execute("DELETE FROM app.events WHERE id BETWEEN 590 AND 600")

    run = purge_run(policy=make_policy(), requester=person, on_progress=delete_rows).run
    assert run is not None
    assert (run.state, run.done, run.total, run.result["passes"]) == ("succeeded", 589, 600, 1)


def test_only_the_pages_with_due_rows_are_walked(execute: Execute, person: User) -> None:
    make_events(execute, due=600, fresh=6_000)
    run = purge_run(policy=make_policy(), requester=person).run
    assert run is not None
    (pages,) = execute("SELECT pg_relation_size('app.events') / 8192")[0]
    assert run.done == 600
    assert run.cursor["after"] == [str(run.parameters["pages"][1])]
    assert run.parameters["pages"][1] < pages / 4


def test_where_nothing_is_due_no_page_is_walked(execute: Execute, person: User) -> None:
    make_events(execute, due=0)
    run = purge_run(policy=make_policy(), requester=person).run
    assert run is not None
    assert (run.state, run.done, run.cursor["after"]) == ("succeeded", 0, None)


def test_a_table_written_anew_between_the_plan_and_the_run_is_purged_whole(
    execute: Execute, person: User
) -> None:
    make_events(execute, due=600, fresh=2_000)
    policy = make_policy()
    before = live()
    run = purge_request(policy=policy, requester=person)
    execute("CREATE INDEX newest_first ON app.events (created_at DESC NULLS FIRST)")
    execute("CLUSTER app.events USING newest_first")
    run = run_execute(run_id=run.pk)
    assert (run.state, run.done, run.result["passes"]) == ("succeeded", 600, 2)
    assert execute("SELECT count(*) FROM app.events WHERE id <= 600") == [(0,)]
    assert_whole(before)

"""Between finding a record and deleting it the application goes on: nothing of it is lost."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User

from operations.models import Run
from operations.services.run_execute import STEP_BUDGET
from retention.services import purge
from retention.services.purge_start import purge_run

from .crash import wait_until
from .holding import place
from .purging import live, messages, ran
from .records import archives, assert_all_there, record_policy, state

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]
Sessions = Callable[[], psycopg.Connection]


@pytest.fixture
def orders(governed: str, execute: Execute) -> None:
    """Orders 1 to 3 are due, 4 is not; each has three lines."""
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, created_at timestamptz)")
    execute(
        "CREATE TABLE app.lines (id int PRIMARY KEY, ordered int REFERENCES app.orders"
        " ON DELETE CASCADE, note text)"
    )
    execute("INSERT INTO app.orders VALUES (1, '2015-01-01'), (2, '2015-01-01'), (3, '2015-01-01')")
    execute("INSERT INTO app.orders VALUES (4, now())")
    execute("INSERT INTO app.lines SELECT n, 1 + n % 4 FROM generate_series(1, 12) n")
    execute("CREATE INDEX ON app.lines (ordered)")


Arrange = Callable[..., None]


@pytest.fixture(params=[2_000, 2], ids=["whole", "sliced"])
def once_found(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Arrange:
    """Makes something happen after the rows of a step were found, before they are locked."""
    monkeypatch.setattr(purge, "_RECORDS", (request.param, 1, request.param))
    prepare = purge.Purge.prepare

    def arrange(happens: Callable[[], Any], number: int = 1) -> None:
        calls = 0

        def patched(kind: Any, beat: Any) -> None:
            nonlocal calls
            prepare(kind, beat)
            calls += 1
            if calls == number:
                happens()

        monkeypatch.setattr(purge.Purge, "prepare", patched)

    return arrange


@pytest.mark.usefixtures("orders")
def test_a_child_that_comes_in_between_is_not_destroyed_unarchived(
    execute: Execute, person: User, other_session: Sessions, once_found: Arrange
) -> None:
    before = state("orders", "lines")
    application = other_session()
    once_found(lambda: application.execute("INSERT INTO app.lines VALUES (99, 2, 'new')"))
    ran(purge_run(policy=record_policy("orders", ["lines"]), requester=person))
    before["lines"] += Counter({"(99,2,new)": 1})
    assert_all_there(before)
    # Its order is due all the same, and took it along in a later pass.
    assert execute("SELECT id FROM app.orders") == [(4,)]
    assert archives("orders", "lines")["lines"]["(99,2,new)"] == 1


@pytest.mark.usefixtures("orders")
def test_a_child_that_is_committed_while_the_purge_waits_is_not_destroyed_unarchived(
    execute: Execute, person: User, other_session: Sessions, once_found: Arrange
) -> None:
    before = state("orders", "lines")
    writer, watcher = other_session(), other_session()
    writer.autocommit = False

    def commit_when_waited_for() -> None:
        query = (
            "SELECT 1 FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event = 'transactionid'"
        )
        wait_until(lambda: watcher.execute(query).fetchone(), "the purge waits")
        writer.commit()

    thread = threading.Thread(target=commit_when_waited_for)

    def insert() -> None:
        writer.execute("INSERT INTO app.lines VALUES (99, 2, 'new')")
        thread.start()

    once_found(insert)
    ran(purge_run(policy=record_policy("orders", ["lines"]), requester=person))
    thread.join()
    before["lines"] += Counter({"(99,2,new)": 1})
    assert_all_there(before)
    assert execute("SELECT id FROM app.orders") == [(4,)]


@pytest.mark.usefixtures("orders")
def test_a_child_that_moves_to_a_fresh_row_stays_with_it(
    execute: Execute, person: User, other_session: Sessions, once_found: Arrange
) -> None:
    application = other_session()
    move = "UPDATE app.lines SET ordered = 4, note = 'moved' WHERE id = 5"
    once_found(lambda: application.execute(move))
    ran(purge_run(policy=record_policy("orders", ["lines"]), requester=person))
    assert execute("SELECT id FROM app.orders") == [(4,)]
    assert execute("SELECT count(*), max(note) FROM app.lines") == [(4, "moved")]
    assert sum(archives("orders", "lines")["lines"].values()) == 8


@pytest.mark.usefixtures("orders")
def test_a_root_that_is_made_young_again_keeps_its_record(
    execute: Execute, person: User, other_session: Sessions, once_found: Arrange
) -> None:
    application = other_session()
    touch = "UPDATE app.orders SET created_at = now() WHERE id = 3"
    once_found(lambda: application.execute(touch))
    before = live("app.lines")
    ran(purge_run(policy=record_policy("orders", ["lines"]), requester=person))
    assert execute("SELECT id FROM app.orders ORDER BY 1") == [(3,), (4,)]
    assert execute("SELECT count(*) FROM app.lines WHERE ordered = 3") == [(3,)]
    assert live("app.lines") + archives("orders", "lines")["lines"] == before


@pytest.mark.usefixtures("orders")
def test_a_hold_that_is_placed_in_between_keeps_the_record_whole(
    execute: Execute, person: User, once_found: Arrange
) -> None:
    before = state("orders", "lines")
    # Line 2 is of order 3.
    once_found(lambda: place("7", "app.lines", rows=["2"]))
    ran(purge_run(policy=record_policy("orders", ["lines"]), requester=person))
    assert execute("SELECT id FROM app.orders ORDER BY 1") == [(3,), (4,)]
    assert execute("SELECT count(*) FROM app.lines WHERE ordered = 3") == [(3,)]
    assert_all_there(before)


@pytest.mark.usefixtures("orders")
def test_a_record_of_which_somebody_has_locked_a_row_is_gone_around(
    execute: Execute, person: User, other_session: Sessions, once_found: Arrange
) -> None:
    before = state("orders", "lines")
    application = other_session()
    application.autocommit = False
    once_found(lambda: application.execute("SELECT FROM app.lines WHERE id = 2 FOR UPDATE"))
    policy = record_policy("orders", ["lines"])
    run = ran(purge_run(policy=policy, requester=person))
    assert "Some due rows may be left" in " ".join(messages(run))
    assert execute("SELECT id FROM app.orders ORDER BY 1") == [(3,), (4,)]
    assert_all_there(before)
    application.rollback()
    ran(purge_run(policy=policy, requester=person))
    assert execute("SELECT id FROM app.orders") == [(4,)]


def test_a_column_added_to_a_dependent_after_the_plan_ends_the_run(
    execute: Execute, person: User, orders: None, other_session: Sessions, once_found: Arrange
) -> None:
    before = state("orders", "lines")
    application = other_session()
    once_found(lambda: application.execute("ALTER TABLE app.lines ADD COLUMN secret text"))
    answer = purge_run(policy=record_policy("orders", ["lines"]), requester=person)
    assert answer.run is not None
    assert (answer.run.state, answer.run.done) == ("cancelled", 0)
    assert "app.orders or app.lines changed after this run was planned" in answer.run.error
    assert sum(live("app.lines").values()) == sum(before["lines"].values())


# What the application's own triggers do.

TOTAL = """
CREATE FUNCTION app.keep_total() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN UPDATE app.orders SET lines = lines - 1 WHERE id = old.ordered; RETURN old; END'
"""


@pytest.mark.parametrize("size", [2_000, 2])
def test_triggers_that_change_the_parent_are_no_obstacle(
    execute: Execute, person: User, orders: None, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(purge, "_RECORDS", (size, 1, size))
    execute("ALTER TABLE app.orders ADD COLUMN lines int DEFAULT 3")
    execute(TOTAL)
    execute(
        "CREATE TRIGGER total AFTER DELETE ON app.lines"
        " FOR EACH ROW EXECUTE FUNCTION app.keep_total()"
    )
    ran(purge_run(policy=record_policy("orders", ["lines"]), requester=person))
    assert execute("SELECT id, lines FROM app.orders") == [(4, 3)]
    # What is archived is the row as it was deleted.
    assert archives("orders", "lines")["orders"].keys() == {
        f'({number},"2015-01-01 00:00:00+00",0)' for number in (1, 2, 3)
    }


def test_a_trigger_that_keeps_a_row_keeps_its_record(
    execute: Execute, person: User, orders: None
) -> None:
    before = state("orders", "lines")
    execute("CREATE FUNCTION app.no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    execute(
        "CREATE TRIGGER no BEFORE DELETE ON app.lines FOR EACH ROW"
        " WHEN (old.id = 2) EXECUTE FUNCTION app.no()"
    )
    run = ran(purge_run(policy=record_policy("orders", ["lines"]), requester=person))
    assert execute("SELECT id FROM app.orders ORDER BY 1") == [(3,), (4,)]
    assert execute("SELECT count(*) FROM app.lines WHERE ordered = 3") == [(3,)]
    assert "a trigger or a rule keeps some" in " ".join(messages(run))
    assert_all_there(before)


def test_a_trigger_that_adds_a_child_to_a_deleted_row_destroys_nothing(
    execute: Execute, person: User, orders: None
) -> None:
    execute(
        "CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN"
        " INSERT INTO app.lines VALUES (1000 + old.id, old.ordered); RETURN old; END'"
    )
    execute(
        "CREATE TRIGGER note BEFORE DELETE ON app.lines FOR EACH ROW"
        " WHEN (old.id = 2) EXECUTE FUNCTION app.note()"
    )
    before = state("orders", "lines")
    ran(purge_run(policy=record_policy("orders", ["lines"]), requester=person))
    assert execute("SELECT id FROM app.orders ORDER BY 1") == [(3,), (4,)]
    assert execute("SELECT count(*) FROM app.lines WHERE ordered = 3") == [(3,)]
    assert_all_there(before)


# Large records.


def test_one_row_with_200_000_dependents_goes_in_short_steps_in_little_memory(
    execute: Execute, person: User, orders: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute("INSERT INTO app.lines SELECT n, 1, 'x' FROM generate_series(101, 200100) n")
    execute("ANALYZE app.lines")
    policy = record_policy("orders", ["lines"])
    lasted: list[float] = []
    step = purge.Purge.step

    def timed(kind: Any, run: Run) -> Any:
        began = time.monotonic()
        try:
            return step(kind, run)
        finally:
            lasted.append(time.monotonic() - began)

    monkeypatch.setattr(purge.Purge, "step", timed)
    tracemalloc.start()
    run = ran(purge_run(policy=policy, requester=person))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [each["rows"] for each in run.result["tables"]] == [3, 200_009]
    assert execute("SELECT count(*) FROM app.lines") == [(3,)]
    assert len(lasted) > 4
    assert max(lasted) < STEP_BUDGET + 0.3
    assert peak < 60 << 20

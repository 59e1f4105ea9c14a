"""What can happen to a partition between its table and its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Self

import psycopg
import pytest
from django.contrib.auth.models import User

from operations.models import Alert, Run
from operations.services.run_execute import run_execute
from operations.services.runs import run_cancel, run_pause, run_resume
from retention.models import ArchivePart
from retention.services import partition_copy, partition_phase
from retention.services.purge_start import purge_request, purge_run

from .holding import place
from .partitioned import TABLE, Execute, dropped, make_hits, partitions, shape, tables
from .purging import assert_whole, files, live, make_policy, messages, ran

pytestmark = pytest.mark.usefixtures("governed", "small_batches")
Session = Callable[[], psycopg.Connection]


@pytest.fixture(autouse=True)
def single_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step for every move, and several slices to a partition."""
    monkeypatch.setattr(partition_phase, "PAGES", (1, 1, 1))
    monkeypatch.setattr(partition_copy, "MORE_SECONDS", 0)


class Once:
    """Does something once, when the run has detached its second partition and copied of it."""

    def __init__(self, what: Callable[[], Any], *, stage: str = "detached", at: int = 1) -> None:
        self.what, self.stage, self.at = what, stage, at
        self.done = False

    def __call__(self, run: Run) -> None:
        state = run.cursor.get("partitions", {})
        if not self.done and (state.get("at"), state.get("stage")) == (self.at, self.stage):
            self.done = True
            self.what()


def purged(person: User, what: Callable[[], Any], **terms: Any) -> Run:
    """The run in which that happened."""
    once = Once(what)
    answer = purge_run(policy=make_policy("hits", **terms), requester=person, on_progress=once)
    assert once.done
    assert answer.run is not None, answer.refusal
    return answer.run


def after(seconds: float, what: Callable[[], Any]) -> threading.Timer:
    timer = threading.Timer(seconds, what)
    timer.start()
    return timer


def test_a_row_that_somebody_was_inserting_is_archived_too(
    execute: Execute, person: User, other_session: Session
) -> None:
    make_hits(execute)
    before = live(TABLE)
    writer = other_session()
    writer.execute("BEGIN")
    writer.execute("INSERT INTO app.hits VALUES (77, '2019-12-31', 'late')")
    timer = after(1.5, lambda: writer.execute("COMMIT"))
    run = ran(purge_run(policy=make_policy("hits"), requester=person))
    timer.join()
    assert (run.done, dropped(run)["app.hits_2019"]) == (1601, 401)
    before['(77,"2019-12-31 00:00:00+00",late,late!)'] += 1
    assert_whole(before, table=TABLE)


def test_a_long_transaction_costs_the_application_nothing(
    execute: Execute, person: User, other_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The partitions are left to the batches, and the application goes on writing."""
    monkeypatch.setattr(partition_phase, "DETACH_SECONDS", 0.5)
    make_hits(execute)
    before = live(TABLE)
    reader, writer = other_session(), other_session()
    reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    reader.execute("SELECT count(*) FROM app.hits")
    with Application(writer) as application:
        run = ran(purge_run(policy=make_policy("hits"), requester=person))
    assert application.slowest < 2
    assert application.writes > 3
    assert (run.done, dropped(run)) == (1600, {})
    assert "could not be detached in time because of process" in " ".join(messages(run))
    assert len(partitions(execute)) == 5
    application.undo()
    reader.execute("COMMIT")
    assert_whole(before, table=TABLE)


def test_a_detaching_that_waits_for_a_transaction_is_finished_when_that_ends(
    execute: Execute, person: User, other_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began in the moment after the run had looked for one."""
    monkeypatch.setattr(partition_phase.PartitionsPhase, "_long_users", lambda *_: "")
    make_hits(execute)
    before = live(TABLE)
    reader, writer = other_session(), other_session()
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM app.hits")
    timer = after(4, lambda: reader.execute("COMMIT"))
    with Application(writer) as application:
        run = ran(purge_run(policy=make_policy("hits"), requester=person))
    timer.join()
    assert application.slowest < 2
    assert (run.done, len(dropped(run))) == (1600, 4)
    application.undo()
    assert_whole(before, table=TABLE)


class Application:
    """Writes fresh rows and reads the table, and notes how long it had to wait."""

    def __init__(self, session: psycopg.Connection) -> None:
        self._session = session
        self.slowest, self.writes = 0.0, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._end.wait(0.02):
            began = time.monotonic()
            self._session.execute("INSERT INTO app.hits VALUES (%s, '2099-01-01')", [self.writes])
            self._session.execute("SELECT max(created_at) FROM app.hits").fetchone()
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.writes += 1

    def undo(self) -> None:
        self._session.execute("DELETE FROM app.hits WHERE created_at = '2099-01-01'")


def test_nobody_writes_to_a_detached_partition(
    execute: Execute, person: User, other_session: Session
) -> None:
    make_hits(execute)
    before = live(TABLE)
    refused = []

    def write() -> None:
        session = other_session()
        for statement in (
            "INSERT INTO app.hits_2019 VALUES (5, '2019-03-03', 'late')",
            "UPDATE app.hits_2019 SET note = 'other'",
            "DELETE FROM app.hits_2019",
            "TRUNCATE app.hits_2019",
        ):
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as error:
                session.execute(statement)
            refused.append(error.value.diag.message_primary)

    run = purged(person, write)
    assert run.state == "succeeded", run.error
    assert refused == ["app.hits_2019 was detached by a purge and takes no changes"] * 4
    assert len(dropped(run)) == 4
    assert_whole(before, table=TABLE)


def test_cancelled_after_it_was_detached_it_is_a_partition_as_before(
    execute: Execute, person: User
) -> None:
    make_hits(execute)
    before, shaped = live(TABLE), shape(execute)

    def cancel() -> None:
        assert "app.hits_2019" not in partitions(execute)
        assert len(files()) > 2 * ArchivePart.objects.count()
        run_cancel(run_id=Run.objects.get().pk, actor=person)

    run = purged(person, cancel)
    assert (run.state, run.done) == ("cancelled", 400)
    assert shape(execute) == [each for each in shaped if each[0] != "hits_2018"]
    assert execute("SELECT count(*) FROM app.hits_2019") == [(400,)]
    assert_whole(before, table=TABLE)
    execute("INSERT INTO app.hits VALUES (5, '2019-05-05', 'again')")


def test_paused_and_resumed_it_goes_on_and_paused_and_cancelled_it_is_back(
    execute: Execute, person: User
) -> None:
    make_hits(execute)
    before, shaped = live(TABLE), shape(execute)
    run = purged(person, lambda: run_pause(run_id=Run.objects.get().pk, actor=person))
    assert (run.state, run.done) == ("paused", 400)
    assert "hits_2019" in tables(execute)
    run_resume(run_id=run.pk, actor=person)
    third = Once(lambda: run_pause(run_id=run.pk, actor=person), at=2)
    assert run_execute(run_id=run.pk, on_progress=third).state == "paused"
    assert run_cancel(run_id=run.pk, actor=person).state == "cancelled"
    assert shape(execute) == [each for each in shaped if each[0] not in ("hits_2018", "hits_2019")]
    assert_whole(before, table=TABLE)


def test_cancelled_while_it_is_being_detached_it_is_back(
    execute: Execute, person: User, other_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_phase.PartitionsPhase, "_long_users", lambda *_: "")
    make_hits(execute)
    before, shaped = live(TABLE), shape(execute)
    reader = other_session()
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM app.hits")

    def cancel(run: Run) -> None:
        if execute("SELECT 1 FROM pg_inherits WHERE inhdetachpending") and run.state == "running":
            run_cancel(run_id=run.pk, actor=person)
            reader.execute("COMMIT")

    run = purge_run(policy=make_policy("hits"), requester=person, on_progress=cancel).run
    assert run is not None
    assert (run.state, run.done) == ("cancelled", 0)
    assert shape(execute) == shaped
    assert_whole(before, table=TABLE)


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (
            "CREATE VIEW app.seen AS SELECT id FROM app.hits_2019",
            "view seen depends on table hits_2019",
        ),
        ("VACUUM FULL app.hits_2019", "somebody changed it while it was detached"),
        ("ALTER TABLE app.hits_2019 DISABLE TRIGGER ALL", "somebody changed it"),
        (
            (
                "ALTER TABLE app.hits ATTACH PARTITION app.hits_2019"
                " FOR VALUES FROM ('2019-01-01') TO ('2020-01-01')"
            ),
            "somebody attached it again",
        ),
    ],
)
def test_what_stands_in_the_way_sends_it_back_to_the_batches(
    execute: Execute, person: User, other_session: Session, what: str, why: str
) -> None:
    make_hits(execute)
    before, shaped = live(TABLE), shape(execute)
    run = purged(person, lambda: other_session().execute(what))
    assert run.state == "succeeded", run.error
    assert (run.done, set(dropped(run))) == (
        1600,
        {"app.hits_2018", "app.hits_2020", "app.hits_2021"},
    )
    assert why in " ".join(messages(run))
    assert_whole(before, table=TABLE)
    if "ATTACH" not in what:
        kept = [each for each in shape(execute) if each[0] != "seen"]
        assert kept == [each for each in shaped if each[0] in ("hits", "hits_2019", "hits_2099")]
    execute("INSERT INTO app.hits VALUES (5, '2019-05-05', 'again')")


def test_a_hold_that_comes_late_still_wins(execute: Execute, person: User) -> None:
    make_hits(execute)
    before = live(TABLE)
    run = purged(person, lambda: place("2031-18", "app.hits", where="id = 20190009"))
    assert run.state == "succeeded", run.error
    assert (run.done, "app.hits_2019" in dropped(run)) == (1599, False)
    assert "rows of it are protected by hold 2031-18" in " ".join(messages(run))
    assert execute("SELECT id FROM app.hits_2019") == [(20190009,)]
    assert_whole(before, table=TABLE)


def test_a_hold_on_the_detached_partition_itself_wins(execute: Execute, person: User) -> None:
    make_hits(execute)
    before = live(TABLE)
    run = purged(person, lambda: place("2031-19", "app.hits_2019"))
    assert run.state == "succeeded", run.error
    assert (run.done, "app.hits_2019" in dropped(run)) == (1200, False)
    assert execute("SELECT count(*) FROM app.hits_2019") == [(400,)]
    assert_whole(before, table=TABLE)


def test_another_term_sends_the_detached_partition_back(execute: Execute, person: User) -> None:
    make_hits(execute)
    before, shaped = live(TABLE), shape(execute)
    policy = make_policy("hits")

    def change() -> None:
        policy.version += 1
        policy.save()

    run = purge_run(policy=policy, requester=person, on_progress=Once(change)).run
    assert run is not None
    assert (run.state, run.done) == ("cancelled", 400)
    assert shape(execute) == [each for each in shaped if each[0] != "hits_2018"]
    assert_whole(before, table=TABLE)


def test_more_rows_than_may_go_unapproved_send_it_back(execute: Execute, person: User) -> None:
    make_hits(execute)
    before, shaped = live(TABLE), shape(execute)
    run = purge_request(policy=make_policy("hits"), requester=person)
    run.parameters["most_unapproved"] = 600
    run.save()
    run = run_execute(run_id=run.pk)
    assert (run.state, run.done) == ("cancelled", 400)
    assert "which is more than" in run.error
    assert shape(execute) == [each for each in shaped if each[0] != "hits_2018"]
    assert_whole(before, table=TABLE)


def test_a_partition_dropped_by_somebody_is_not_said_to_be_archived(
    execute: Execute, person: User, other_session: Session
) -> None:
    make_hits(execute)
    before = live(TABLE)
    gone = live("app.hits_2019")
    run = purged(person, lambda: other_session().execute("DROP TABLE app.hits_2019"))
    assert run.state == "succeeded", run.error
    assert (run.done, "app.hits_2019" in dropped(run)) == (1200, False)
    assert_whole(before - gone, table=TABLE)


def test_where_its_place_is_taken_a_cancelled_run_says_how_to_mend_it(
    execute: Execute, person: User
) -> None:
    make_hits(execute)
    before = live(TABLE)

    def take() -> None:
        execute(
            "CREATE TABLE app.other PARTITION OF app.hits"
            " FOR VALUES FROM ('2019-06-01') TO ('2019-07-01')"
        )
        run_cancel(run_id=Run.objects.get().pk, actor=person)

    run = purged(person, take)
    assert (run.state, run.done) == ("cancelled", 400)
    alert = Alert.objects.get(key__startswith="partition-detached:")
    assert alert.summary == (
        "app.hits_2019 is not a partition of app.hits any more, and holds its rows."
    )
    assert 'partition "hits_2019" would overlap partition "other"' in alert.remedy
    assert_whole(before - live("app.hits_2019"), table=TABLE)
    execute("DROP TABLE app.other")
    execute(alert.remedy.split("then run: ")[1])
    assert_whole(before, table=TABLE)
    execute("INSERT INTO app.hits VALUES (5, '2019-06-05', 'again')")

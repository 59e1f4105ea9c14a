"""A purge of an audited table is one line of the log, and the history of what went is gone too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from auditing.models import (
    AuditEvent,
    ChangeStatement,
    ChangeTransaction,
    TrackedTable,
    VersionNote,
)
from auditing.services.history_carry import LOCK, history_carry, history_lock
from auditing.services.statement_summarise import statement_summarise
from auditing.services.track import table_track
from operations.batches.walk import Window
from operations.catalogue.read import table as read_table
from operations.catalogue.types import TableName
from operations.models import Certificate, Run
from retention.models import Archive
from retention.services.purge_start import purge_run
from retention.services.restore_start import archive_restore
from tests.retention.holding import place, release
from tests.retention.purging import make_events, make_policy, ran

pytestmark = pytest.mark.sql
Execute = Callable[..., list[tuple[Any, ...]]]
Connect = Callable[[], psycopg.Connection[Any]]
DUE, FRESH, AGELESS = 60, 5, 3


@pytest.fixture
def events(governed: str, execute: Execute, person: User) -> TrackedTable:
    """`app.events`, audited from when it was empty, each row with two versions or three."""
    make_events(execute, due=0, fresh=0, ageless=0)
    tracked = table_track("app.events", actor=person, reason="the law")
    execute(
        "INSERT INTO app.events (id, created_at, kind)"
        " SELECT n, CASE WHEN n <= %s THEN now() - interval '400 days'"
        " WHEN n <= %s THEN now() END, 'a' FROM generate_series(1, %s) n",
        [DUE, DUE + FRESH, DUE + FRESH + AGELESS],
    )
    execute("UPDATE app.events SET kind = 'b'")
    execute("UPDATE app.events SET kind = 'c' WHERE id % 7 = 0")
    return tracked


def versions(execute: Execute, tracked: TrackedTable) -> dict[int, str]:
    """The operations of each key, in their order."""
    found = execute(
        f"SELECT \"1_id\", string_agg(op::text, '' ORDER BY seq) FROM {tracked.history} GROUP BY 1"
    )
    return dict(found)


def purge(person: User, table: str = "events", **terms: Any) -> Run:
    policy = make_policy(table, **terms)
    return ran(purge_run(policy=policy, requester=person, reason="the term is over"))


@pytest.mark.parametrize("archive", [True, False])
def test_the_versions_go_with_the_rows_and_the_log_has_one_line(
    events: TrackedTable, execute: Execute, person: User, archive: bool
) -> None:
    before = versions(execute, events)
    for key in (1, DUE + 1):
        VersionNote.objects.create(
            tracked=events, record_id=str(key), seq=key, comment="mine", author=person
        )
    run = purge(person, archive=archive)
    assert run.done == DUE
    assert versions(execute, events) == {
        key: operations for key, operations in before.items() if key > DUE
    }
    assert [note.record_id for note in VersionNote.objects.all()] == [str(DUE + 1)]

    # What was done to the rows before is told, though nobody had asked for it until now.
    told = ChangeStatement.objects.exclude(operation="P").order_by("id")
    assert [(line.operation, line.rows) for line in told] == [
        ("I", DUE + FRESH + AGELESS),
        ("U", DUE + FRESH + AGELESS),
        ("U", (DUE + FRESH + AGELESS) // 7),
    ]
    statement_summarise()
    [line] = ChangeStatement.objects.filter(operation="P")
    assert not ChangeStatement.objects.filter(operation="D").exists()
    event = AuditEvent.objects.get(kind="purge")
    whole = ChangeTransaction.objects.get(pk=line.xid)
    assert (whole.statements, whole.rows, whole.actor) == (1, DUE, "console:ada")
    assert (line.event, line.tracked, line.rows, line.actor) == (event, events, DUE, "console:ada")
    assert (line.first_seq, line.last_seq, line.changed) == (None, None, [])
    assert (event.rows, event.run_id, event.reason, event.actor) == (
        DUE,
        run.pk,
        "the term is over",
        "console:ada",
    )
    assert event.certificate == Certificate.objects.get().number
    assert event.detail == {
        "policy": "events",
        "policy_version": 1,
        "cutoff": run.parameters["cutoff"],
        "outcome": "complete",
        "archived": archive,
        "history": "gone",
        "history_versions": {"history.app__events": 2 * DUE + DUE // 7},
    }
    assert run.result["audited"] == [{"table": "app.events", "history": "gone"}]


def test_a_second_run_that_finds_nothing_adds_no_line(events: TrackedTable, person: User) -> None:
    policy = make_policy()
    ran(purge_run(policy=policy, requester=person))
    ran(purge_run(policy=policy, requester=person))
    assert AuditEvent.objects.filter(kind="purge").count() == 1
    assert ChangeStatement.objects.filter(operation="P").count() == 1


def test_held_rows_keep_their_history(events: TrackedTable, execute: Execute, person: User) -> None:
    before = versions(execute, events)
    place("2026-1", where="id <= 10")
    run = purge(person)
    assert run.done == DUE - 10
    assert versions(execute, events) == {
        key: each for key, each in before.items() if key <= 10 or key > DUE
    }


@pytest.mark.parametrize("part", [{}, {"where": "seq < 0"}])
def test_while_the_history_is_held_it_gets_the_deletions(
    events: TrackedTable, execute: Execute, person: User, part: dict[str, str]
) -> None:
    before = versions(execute, events)
    place("2026-1", str(events.history), **part)
    run = purge(person)
    assert run.done == DUE
    assert versions(execute, events) == {
        key: each + "D" if key <= DUE else each for key, each in before.items()
    }
    assert AuditEvent.objects.get(kind="purge").detail["history"] == "kept"
    assert run.result["audited"] == [{"table": "app.events", "history": "kept"}]


def test_a_hold_that_is_released_holds_no_longer(
    events: TrackedTable, execute: Execute, person: User
) -> None:
    place("2026-1", str(events.history))
    release("2026-1")
    purge(person)
    assert min(versions(execute, events)) == DUE + 1


def test_what_a_trigger_of_the_application_deletes_meanwhile_is_a_deletion_like_any(
    events: TrackedTable, execute: Execute, person: User
) -> None:
    """It is in no archive and in no plan: its history stays, and gets the deletion."""
    execute("CREATE TABLE app.likes (id bigint PRIMARY KEY)")
    execute("INSERT INTO app.likes SELECT generate_series(1, 3)")
    likes = table_track("app.likes", actor=person, reason="the law")
    execute("UPDATE app.likes SET id = id + 100")
    execute(
        "CREATE FUNCTION app.unlike() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN DELETE FROM app.likes WHERE id = OLD.id + 100; RETURN OLD; END'"
    )
    execute(
        "CREATE TRIGGER unlike BEFORE DELETE ON app.events"
        " FOR EACH ROW WHEN (OLD.id < 4) EXECUTE FUNCTION app.unlike()"
    )
    before = versions(execute, likes)
    purge(person)
    assert versions(execute, likes) == {
        key: each + "D" if key > 100 else each for key, each in before.items()
    }
    assert min(versions(execute, events)) == DUE + 1
    assert [event.tracked for event in AuditEvent.objects.filter(kind="purge")] == [events]


def test_what_was_carried_forward_goes_too(
    events: TrackedTable, execute: Execute, person: User
) -> None:
    month = read_table(
        TableName("history", f"{events.history_name}_p{timezone.now():%Y%m}"), using="default"
    )
    history = read_table(events.history, using="default")
    window = Window(month.name, "ctid", (), None, None)
    for _ in range(2):
        with transaction.atomic():
            history_carry(events, window, history=history, end="2027-06-01", using="default")
    keys = DUE + FRESH + AGELESS
    assert {each.count("C") for each in versions(execute, events).values()} == {1}
    assert execute(f"SELECT count(*) FROM {events.history} WHERE op = 'C'") == [(keys,)]
    purge(person)
    assert min(versions(execute, events)) == DUE + 1


def test_no_purge_is_under_way_while_versions_are_carried_forward(
    events: TrackedTable, other_session: Connect
) -> None:
    """Or it would not see what it has to take away."""
    elsewhere = other_session()
    elsewhere.execute("SET lock_timeout = '50ms'")
    wait = f"SELECT pg_advisory_xact_lock(%s, {events.pk})"
    for shared in (True, False):
        with transaction.atomic():
            history_lock(events, shared=shared, using="default")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                elsewhere.execute(wait, [LOCK])
    with transaction.atomic():
        history_lock(events, shared=True, using="default")
        elsewhere.execute(wait.replace("lock(", "lock_shared("), [LOCK])


def test_each_table_that_goes_along_has_an_event_of_its_own(
    events: TrackedTable, execute: Execute, person: User
) -> None:
    execute(
        "CREATE TABLE app.notes (id bigint PRIMARY KEY, event bigint REFERENCES app.events (id))"
    )
    execute("CREATE INDEX ON app.notes (event)")
    notes = table_track("app.notes", actor=person, reason="the law")
    execute("INSERT INTO app.notes SELECT n, (n + 1) / 2 FROM generate_series(1, 130) n")
    run = purge(person, dependents=[["app", "notes"]])
    assert run.done == 3 * DUE
    assert min(versions(execute, events)) == DUE + 1
    assert versions(execute, notes) == dict.fromkeys(range(2 * DUE + 1, 131), "I")
    lines = ChangeStatement.objects.filter(operation="P").order_by("tracked__table_name")
    assert [(line.tracked, line.rows) for line in lines] == [(events, DUE), (notes, 2 * DUE)]


@pytest.mark.superuser
def test_nobody_else_can_call_a_deletion_a_purge(
    events: TrackedTable, execute: Execute, other_session: Connect
) -> None:
    execute("DROP ROLE IF EXISTS keep_application")
    execute("CREATE ROLE keep_application")
    execute("GRANT USAGE ON SCHEMA app TO keep_application")
    execute("GRANT ALL ON app.events TO keep_application")
    session = other_session()
    try:
        session.execute("SET SESSION AUTHORIZATION keep_application")
        with session.transaction():
            session.execute(f"SET LOCAL custody.purging = ' {events.table_oid} '")
            session.execute("DELETE FROM app.events WHERE id = 1")
        assert versions(execute, events)[1] == "IUD"
    finally:
        session.close()
        execute("DROP OWNED BY keep_application")
        execute("DROP ROLE keep_application")


def test_rows_that_come_back_from_an_archive_are_inserts_with_a_reason(
    events: TrackedTable, execute: Execute, person: User
) -> None:
    purge(person)
    archive_restore(archive=Archive.objects.get(), requester=person, reason="the court asked")
    assert versions(execute, events)[1] == "I"
    statement_summarise()
    back = ChangeStatement.objects.filter(operation="I").order_by("-id")[0]
    assert back.rows == DUE
    assert back.actor == "console:ada"
    assert back.context is not None
    assert back.context.reason == "the court asked"

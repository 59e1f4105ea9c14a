"""Traps that others fell into, each with a test of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import transaction

from auditing.models import TrackedTable
from auditing.selectors.tracked import standings
from auditing.services.sync import table_sync
from auditing.services.track import table_track

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql]

Execute = Callable[..., list[tuple[Any, ...]]]
Connect = Callable[[], psycopg.Connection]


@pytest.fixture
def things(governed: str, execute: Execute, person: User) -> TrackedTable:
    execute("CREATE TABLE app.things (id int PRIMARY KEY, name text)")
    return table_track("app.things", actor=person, reason="test")


def test_a_plan_cached_for_one_row_is_none_for_many(things: TrackedTable, execute: Execute) -> None:
    execute("INSERT INTO app.things SELECT n, 'x' FROM generate_series(1, 30000) n")
    for _ in range(7):
        execute("UPDATE app.things SET name = name || '1' WHERE id = 1")
    with transaction.atomic():
        # As a nested loop it would take minutes.
        execute("SET LOCAL statement_timeout = '60s'")
        execute("UPDATE app.things SET name = 'all'")
    assert execute("SELECT count(*) FROM history.app__things WHERE op = 'U'") == [(30007,)]


def test_a_change_of_columns_waits_for_nobody_who_uses_the_history(
    things: TrackedTable, execute: Execute, other_session: Connect
) -> None:
    reader = other_session()
    reader.execute("BEGIN")
    reader.execute("LOCK TABLE history.app__things IN ACCESS EXCLUSIVE MODE")
    with transaction.atomic():
        execute("SET LOCAL lock_timeout = '5s'")
        execute("ALTER TABLE app.things ADD COLUMN colour text DEFAULT 'red'")
        execute("ALTER TABLE app.things RENAME COLUMN name TO title")
    reader.execute("COMMIT")
    execute("INSERT INTO app.things VALUES (1, 'a', 'blue')")
    assert execute("SELECT \"2_name\", rest ->> '3' FROM history.app__things") == [("a", "blue")]


@pytest.mark.superuser
def test_our_own_errors_do_not_fail_the_application_s_change_of_columns(
    things: TrackedTable, execute: Execute, other_session: Connect
) -> None:
    session = other_session()
    told: list[str] = []
    session.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
    execute("ALTER FUNCTION custody.audit_layout(bigint) RENAME TO audit_layout_away")
    try:
        session.execute("ALTER TABLE app.things ADD COLUMN colour text")
    finally:
        execute("ALTER FUNCTION custody.audit_layout_away(bigint) RENAME TO audit_layout")
    assert any("could not follow" in message for message in told)
    session.execute("INSERT INTO app.things VALUES (1, 'a', 'blue')")
    assert execute('SELECT op, "2_name" FROM history.app__things') == [("I", "a")]
    (standing,) = standings(only=things)
    assert standing.columns_changed


def test_enabling_all_triggers_does_not_leave_replica_sessions_out(
    things: TrackedTable, execute: Execute, person: User
) -> None:
    execute("ALTER TABLE app.things ENABLE TRIGGER USER")
    (standing,) = standings(only=things)
    # The event trigger looks for triggers that are off; these are not.
    assert any("replica" in problem for problem in standing.problems)
    table_sync(things, actor=person)
    (standing,) = standings(only=things)
    assert not standing.not_always
    assert standing.problems == []


def test_a_history_refers_to_nothing_and_its_numbers_are_not_cached(
    things: TrackedTable, execute: Execute
) -> None:
    assert execute(
        "SELECT count(*) FROM pg_constraint WHERE contype = 'f' "
        "AND conrelid = 'history.app__things'::regclass"
    ) == [(0,)]
    assert execute(
        "SELECT cache_size FROM pg_sequences WHERE schemaname = 'custody' "
        "AND sequencename = 'audit_seq'"
    ) == [(1,)]


def test_every_moment_to_come_has_a_partition(things: TrackedTable, execute: Execute) -> None:
    bounds = [
        bound
        for (bound,) in execute(
            "SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i "
            "JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = 'history.app__things'::regclass ORDER BY c.relname"
        )
    ]
    assert bounds[0].startswith("FOR VALUES FROM (MINVALUE)")
    assert bounds[-1].endswith("TO (MAXVALUE)")
    assert not any("DEFAULT" in bound for bound in bounds)
    assert len(bounds) == 25

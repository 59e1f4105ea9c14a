"""Several people at once, and processes that die: nothing is half deleted or left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection

from retention.exceptions import DeletionRefused
from retention.models import Deletion, DeletionTable
from retention.services.record_delete import record_delete
from retention.services.record_restore import record_restore

from .shop import TABLES, active, everything, shop_open
from .softdeleting import app, enable, soft_delete

pytestmark = [pytest.mark.sql]
Execute = Callable[..., list[tuple[Any, ...]]]
Connect = Callable[[], psycopg.Connection]
WAITS = """
SELECT count(*) FROM pg_catalog.pg_stat_activity
WHERE pid = %s AND wait_event_type = 'Lock'
"""


@pytest.fixture
def shop(governed: str, execute: Execute) -> None:
    shop_open(execute)


class Asked(threading.Thread):
    """One statement of a session of its own, under way."""

    def __init__(self, session: psycopg.Connection, query: str) -> None:
        super().__init__(daemon=True)
        self.session, self.query = session, query
        self.error: psycopg.Error | None = None
        self.start()

    def run(self) -> None:
        try:
            self.session.execute(self.query)  # type: ignore[call-overload]
        except psycopg.Error as error:
            self.error = error

    def waits(self, execute: Execute) -> None:
        """Until it waits for somebody's lock."""
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up:
            if execute(WAITS, [self.session.info.backend_pid]) == [(1,)]:
                return
            assert self.is_alive(), self.error
            time.sleep(0.01)
        raise AssertionError("It does not wait.")

    def ended(self) -> psycopg.Error | None:
        self.join(30)
        assert not self.is_alive()
        return self.error


def test_who_waits_too_long_for_a_row_of_somebody_else_is_told(
    shop: None, execute: Execute, person: User, other_session: Connect
) -> None:
    before = everything(execute)
    other = other_session()
    with other.transaction():
        other.execute("SELECT FROM app.orders WHERE id = 1 FOR UPDATE")
        with pytest.raises(DeletionRefused, match=r"try again\. Nothing was deleted\."):
            record_delete(table=app("customers"), record_id="1", actor=person)
    assert everything(execute) == before
    assert not Deletion.objects.exists(), "it was not refused for a reason that is worth keeping"
    deletion = record_delete(table=app("customers"), record_id="1", actor=person).deletion
    assert deletion is not None
    with other.transaction():
        other.execute("SELECT FROM app.orders WHERE id = 1 FOR UPDATE")
        with pytest.raises(DeletionRefused, match=r"try again\. Nothing was changed\."):
            record_restore(deletion_id=deletion.pk, actor=person)
    record_restore(deletion_id=deletion.pk, actor=person)
    assert everything(execute) == before


def test_two_people_restore_the_same_and_one_is_told(
    shop: None, execute: Execute, other_session: Connect
) -> None:
    before = everything(execute)
    number = soft_delete("customers", 1).pk
    first, second = other_session(), other_session()
    first.execute("BEGIN")
    first.execute("SELECT custody.set_context('first')")
    first.execute("SELECT custody.restore(%s)", [number])

    asked = Asked(second, f"SELECT custody.restore({number})")
    asked.waits(execute)
    first.execute("COMMIT")

    error = asked.ended()
    assert error is not None
    assert "was restored by app:first" in str(error)
    assert everything(execute) == before
    [table] = DeletionTable.objects.filter(table_name="customers")
    assert (table.deleted, table.restored) == (1, 1)


def test_a_row_that_came_a_moment_before_goes_along(
    shop: None, execute: Execute, other_session: Connect
) -> None:
    writer, deleting = other_session(), other_session()
    writer.execute("BEGIN")
    writer.execute("INSERT INTO app.lines VALUES (1, 9, 'late')")

    asked = Asked(deleting, "SELECT custody.soft_delete('app.customers', '1')")
    asked.waits(execute)
    writer.execute("COMMIT")

    assert asked.ended() is None
    assert active(execute, "lines", "order_id, number") == [(4, 1), (4, 2), (4, 3)]
    assert execute("SELECT deletion_id IS NULL FROM app.lines WHERE number = 9") == [(False,)]


@pytest.mark.parametrize("kept", ["COMMIT", "ROLLBACK"])
def test_a_row_cannot_come_below_what_is_being_deleted(
    shop: None, execute: Execute, other_session: Connect, kept: str
) -> None:
    writer, deleting = other_session(), other_session()
    deleting.execute("BEGIN")
    deleting.execute("SELECT custody.soft_delete('app.customers', '1')")

    asked = Asked(writer, "INSERT INTO app.lines VALUES (1, 9, 'late')")
    asked.waits(execute)
    deleting.execute(kept)

    error = asked.ended()
    assert isinstance(error, psycopg.errors.ForeignKeyViolation) == (kept == "COMMIT")
    late = [] if kept == "COMMIT" else [(1, 9)]
    assert [each for each in active(execute, "lines", "order_id, number") if each[1] == 9] == late


@pytest.mark.parametrize("kept", ["COMMIT", "ROLLBACK"])
def test_what_is_restored_meets_what_is_being_deleted(
    shop: None, execute: Execute, other_session: Connect, kept: str
) -> None:
    order = soft_delete("orders", 1).pk
    restoring, deleting = other_session(), other_session()
    deleting.execute("BEGIN")
    deleting.execute("SELECT custody.soft_delete('app.customers', '1')")

    asked = Asked(restoring, f"SELECT custody.restore({order})")
    asked.waits(execute)
    deleting.execute(kept)

    error = asked.ended()
    assert isinstance(error, psycopg.errors.ForeignKeyViolation) == (kept == "COMMIT")
    assert active(execute, "orders") == ([4] if kept == "COMMIT" else [1, 2, 3, 4])


def test_what_is_deleted_meets_what_is_being_restored(
    shop: None, execute: Execute, other_session: Connect
) -> None:
    """The order that comes back goes again with its customer."""
    order = soft_delete("orders", 1).pk
    restoring, deleting = other_session(), other_session()
    restoring.execute("BEGIN")
    restoring.execute("SELECT custody.restore(%s)", [order])

    asked = Asked(deleting, "SELECT custody.soft_delete('app.customers', '1')")
    asked.waits(execute)
    restoring.execute("COMMIT")

    assert asked.ended() is None
    assert active(execute, "orders") == [4]
    assert active(execute, "lines", "order_id, number") == [(4, 1), (4, 2), (4, 3)]


def marked(execute: Execute) -> list[int]:
    return [
        execute(f"SELECT count(*) FROM app.{name} WHERE deletion_id IS NOT NULL")[0][0]
        for name in TABLES
    ]


def test_a_session_that_ends_half_way_leaves_nothing(
    shop: None, execute: Execute, other_session: Connect
) -> None:
    execute(
        "INSERT INTO app.orders SELECT n, 1, NULL FROM generate_series(10, 6000) n;"
        "INSERT INTO app.lines SELECT n, m, 'x' FROM generate_series(10, 6000) n,"
        " generate_series(1, 2) m"
    )
    whole = [1, 1, 5994, 11991]
    seen = set()
    for delay in (0.005, 0.02, 0.06, 0.12, 0.2):
        session = other_session()
        asked = Asked(session, "SELECT custody.soft_delete('app.customers', '1')")
        time.sleep(delay)
        execute("SELECT pg_catalog.pg_terminate_backend(%s)", [session.info.backend_pid])
        asked.ended()
        found = marked(execute)
        seen.add(tuple(found))
        assert found in ([0, 0, 0, 0], whole)
        assert Deletion.objects.filter(state="deleted").count() == (found == whole)
        if found == whole:
            execute("SELECT custody.restore(%s)", [Deletion.objects.get(state="deleted").pk])
    assert (0, 0, 0, 0) in seen
    assert marked(execute) == [0, 0, 0, 0]


CHILD = """
import json, sys, psycopg
parameters = json.loads(sys.argv[1])
with psycopg.connect(**parameters) as session:
    session.execute("SELECT custody.soft_delete('app.customers', '1')")
    print("deleted", flush=True)
    sys.stdin.read()
"""


def test_a_process_killed_before_its_commit_leaves_nothing(
    shop: None, execute: Execute, person: User
) -> None:
    before = everything(execute)
    parameters = connection.get_connection_params()
    given = {
        name: value
        for name, value in parameters.items()
        if name in ("dbname", "user", "password", "host", "port")
    }
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, json.dumps(given)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "deleted\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()

    # It waits for the dead one's locks, which go with its session.
    found = record_delete(table=app("customers"), record_id="1", actor=person)

    assert found.rows == 14
    assert Deletion.objects.count() == 1
    execute("SELECT custody.restore(%s)", [Deletion.objects.get().pk])
    assert everything(execute) == before


def test_a_hundred_thousand_rows_go_in_a_few_statements(governed: str, execute: Execute) -> None:
    """By the number of statements, not of rows: nothing is done row by row."""
    execute(
        "CREATE TABLE app.a (id int PRIMARY KEY);"
        "CREATE TABLE app.b (id int PRIMARY KEY, a int REFERENCES app.a ON DELETE CASCADE);"
        "CREATE TABLE app.c (id int PRIMARY KEY, b int REFERENCES app.b ON DELETE CASCADE);"
        "CREATE INDEX ON app.c (b);"
        "INSERT INTO app.a VALUES (1);"
        "INSERT INTO app.b SELECT n, 1 FROM generate_series(1, 10000) n;"
        "INSERT INTO app.c SELECT n, 1 + n % 10000 FROM generate_series(1, 90000) n;"
        "CREATE TABLE app.fired (what text);"
        "CREATE FUNCTION app.fire() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO app.fired VALUES (tg_table_name); RETURN NULL; END $$"
    )
    for name in "abc":
        enable(name)
        execute(
            f"CREATE TRIGGER fire AFTER UPDATE ON app.{name}"
            " FOR EACH STATEMENT EXECUTE FUNCTION app.fire()"
        )

    deletion = soft_delete("a", 1)

    assert {each.table_name: each.deleted for each in deletion.tables.all()} == {
        "a": 1,
        "b": 10_000,
        "c": 90_000,
    }
    assert sorted(execute("SELECT what FROM app.fired")) == [("a",), ("b",), ("c",)]
    execute("TRUNCATE app.fired")
    execute("SELECT custody.restore(%s)", [deletion.pk])
    assert sorted(execute("SELECT what FROM app.fired")) == [("a",), ("b",), ("c",)]
    assert [execute(f"SELECT count(*) FROM app.{n} WHERE deleted_at IS NULL") for n in "abc"] == [
        [(1,)],
        [(10_000,)],
        [(90_000,)],
    ]

"""Traps of captured deletes, each with a test of its own."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import transaction

from auditing.services.track import table_track
from retention.models import Deletion, DeletionTable, SeveredReference

from .shielding import Execute, deletion, refused, rowcount, shop_made, state
from .softdeleting import enable

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql]

Connect = Callable[[], psycopg.Connection]


@pytest.fixture
def shop(governed: str, execute: Execute) -> None:
    shop_made(execute, capture=True)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM app.active_users WHERE id = 1",
        "DELETE FROM app.users u USING app.orders o WHERE o.user_id = u.id AND u.id = 1",
        "WITH gone AS (DELETE FROM app.users WHERE id = 1 RETURNING *) SELECT * FROM gone",
        "MERGE INTO app.users u USING (SELECT 1 AS id) s ON u.id = s.id WHEN MATCHED THEN DELETE",
        "DELETE FROM ONLY app.users WHERE id = 1",
    ],
)
def test_every_way_to_delete(shop: None, execute: Execute, statement: str) -> None:
    assert rowcount(statement) in (1, 2)
    assert state(execute, "users") == ([2, 3], [1])
    assert state(execute, "lines") == ([4], [1, 2, 3])
    assert deletion().record_id == "1"


def test_a_row_written_again_by_its_statement_is_not_deleted(shop: None, execute: Execute) -> None:
    execute(
        "WITH d AS (DELETE FROM app.lines WHERE id = 1 RETURNING *)"
        " INSERT INTO app.lines SELECT id, 2 FROM d"
    )
    assert state(execute, "lines", "id, order_id")[0][0] == (1, 2)
    assert not Deletion.objects.exists()


def test_the_key_of_a_row_in_the_bin_is_taken(shop: None, execute: Execute) -> None:
    with transaction.atomic():
        execute("DELETE FROM app.lines WHERE id = 1")
        assert refused(execute, "INSERT INTO app.lines VALUES (1, 3)").sqlstate == "23505"
        assert rowcount("INSERT INTO app.lines VALUES (1, 3) ON CONFLICT DO NOTHING") == 0
    assert state(execute, "lines", "id, order_id")[1] == [(1, 1)]
    # What is written over a row in the bin stays in the bin.
    execute("INSERT INTO app.lines VALUES (1, 3) ON CONFLICT (id) DO UPDATE SET order_id = 3")
    assert state(execute, "lines", "id, order_id")[1] == [(1, 3)]


def test_rows_that_refer_to_themselves_and_in_circles(governed: str, execute: Execute) -> None:
    execute(
        "CREATE TABLE app.a (id int PRIMARY KEY, b int, up int REFERENCES app.a ON DELETE CASCADE);"
        "CREATE TABLE app.b (id int PRIMARY KEY, a int REFERENCES app.a ON DELETE CASCADE);"
        "ALTER TABLE app.a ADD FOREIGN KEY (b) REFERENCES app.b ON DELETE CASCADE;"
        "INSERT INTO app.a VALUES (1, NULL, 1), (2, NULL, 1), (3, NULL, 2), (4, NULL, NULL);"
        "INSERT INTO app.b VALUES (1, 3), (2, 4); UPDATE app.a SET b = 1 WHERE id = 1"
    )
    enable("a", capture=True)
    enable("b", capture=True)
    execute("SELECT custody.softdelete_shield_make('app.a'::regclass)")
    assert rowcount("DELETE FROM app.a WHERE id = 1") == 1
    assert state(execute, "a", "id, b, up") == (
        [(4, None, None)],
        [(1, 1, 1), (2, None, 1), (3, None, 2)],
    )
    assert state(execute, "b") == ([2], [1])
    execute("SELECT custody.restore(%s)", [deletion().pk])
    assert state(execute, "a") == ([1, 2, 3, 4], [])


def test_children_deleted_before_a_parent_that_keeps_them(shop: None, execute: Execute) -> None:
    # As an ORM does with a key that does not wait for the commit.
    execute("ALTER TABLE app.lines DROP CONSTRAINT lines_order_id_fkey")
    execute("ALTER TABLE app.lines ADD FOREIGN KEY (order_id) REFERENCES app.orders")
    execute("SELECT custody.softdelete_shield_make('app.orders'::regclass)")
    execute("DELETE FROM app.lines WHERE order_id = 1")
    execute("DELETE FROM app.orders WHERE id = 1")
    assert state(execute, "orders") == ([2, 3], [1])
    assert refused(execute, "DELETE FROM app.orders WHERE id = 2").sqlstate == "23503"
    # RESTRICT looks at once, and at the bin too.
    execute("ALTER TABLE app.lines DROP CONSTRAINT lines_order_id_fkey")
    execute(
        "ALTER TABLE app.lines ADD FOREIGN KEY (order_id) REFERENCES app.orders ON DELETE RESTRICT"
    )
    execute("DELETE FROM app.lines WHERE order_id = 2")
    assert refused(execute, "DELETE FROM app.orders WHERE id = 2").sqlstate in ("23503", "23001")


def test_partitions(governed: str, execute: Execute) -> None:
    execute(
        "CREATE TABLE app.users (id int PRIMARY KEY);"
        "CREATE TABLE app.visits (id int, place int, user_id int REFERENCES app.users"
        " ON DELETE CASCADE, PRIMARY KEY (id, place)) PARTITION BY LIST (place);"
        "CREATE TABLE app.visits_1 PARTITION OF app.visits FOR VALUES IN (1);"
        "CREATE TABLE app.visits_2 PARTITION OF app.visits FOR VALUES IN (2);"
        "INSERT INTO app.users VALUES (1), (2);"
        "INSERT INTO app.visits VALUES (1, 1, 1), (2, 2, 1), (3, 1, 2), (4, 2, 2), (5, 1, NULL)"
    )
    enable("visits", capture=True)
    enable("users", capture=True)
    execute("DELETE FROM app.users WHERE id = 1")
    assert state(execute, "visits") == ([3, 4, 5], [1, 2])
    assert deletion().table_name == "users"
    execute("DELETE FROM app.visits_1 WHERE id = 3")
    execute("DELETE FROM app.visits WHERE id = 4")
    assert state(execute, "visits") == ([5], [1, 2, 3, 4])
    # Moved to another partition, a row is deleted from the first: that is no deletion.
    assert rowcount("UPDATE app.visits SET place = 2 WHERE id = 5") == 1
    assert state(execute, "visits", "id, place")[0] == [(5, 2)]
    assert execute("SELECT count(*) FROM app.visits") == [(5,)]


def test_the_application_s_own_triggers_fire(shop: None, execute: Execute) -> None:
    execute(
        "CREATE TABLE app.said (what text);"
        "CREATE FUNCTION app.say() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO said VALUES (TG_WHEN || ' ' || TG_OP); RETURN coalesce(NEW, OLD); END $$;"
        "CREATE TRIGGER a BEFORE INSERT OR DELETE ON app.lines"
        " FOR EACH ROW EXECUTE FUNCTION app.say();"
        "CREATE TRIGGER z AFTER INSERT OR DELETE ON app.lines"
        " FOR EACH ROW EXECUTE FUNCTION app.say()"
    )
    execute("SET search_path = app")
    execute("DELETE FROM app.lines WHERE id = 1")
    execute("RESET search_path")
    assert sorted(execute("SELECT what FROM app.said")) == [
        ("AFTER DELETE",),
        ("AFTER INSERT",),
        ("BEFORE DELETE",),
        ("BEFORE INSERT",),
    ]
    execute("DROP FUNCTION app.say() CASCADE")
    execute(
        "CREATE FUNCTION app.no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER no BEFORE INSERT ON app.lines FOR EACH ROW EXECUTE FUNCTION app.no()"
    )
    error = refused(execute, "DELETE FROM app.lines WHERE id = 2")
    assert (error.sqlstate, "keeps its deleted rows" in str(error)) == ("55000", True)
    execute("DROP TRIGGER no ON app.lines")
    execute("CREATE TRIGGER no BEFORE DELETE ON app.lines FOR EACH ROW EXECUTE FUNCTION app.no()")
    assert rowcount("DELETE FROM app.lines WHERE id = 2") == 0
    assert state(execute, "lines") == ([2, 3, 4], [1])


def test_an_older_snapshot(shop: None, execute: Execute, other_session: Connect) -> None:
    session = other_session()
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    session.execute("DELETE FROM app.lines WHERE id = 1")
    # Tickets keep users: one that was added since would not be seen.
    with pytest.raises(psycopg.errors.InvalidTransactionState):
        session.execute("DELETE FROM app.users WHERE id = 2")
    session.execute("ROLLBACK")
    session.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
    session.execute("DELETE FROM app.lines WHERE id = 1")
    session.execute("COMMIT")
    assert state(execute, "lines") == ([2, 3, 4], [1])
    assert state(execute, "users") == ([1, 2, 3], [])


def test_a_default_takes_the_place_of_a_deleted_parent(governed: str, execute: Execute) -> None:
    execute(
        "CREATE TABLE app.users (id int PRIMARY KEY); INSERT INTO app.users VALUES (0), (1);"
        "CREATE TABLE app.notes (id int PRIMARY KEY,"
        " by_id int DEFAULT 0 REFERENCES app.users ON DELETE SET DEFAULT);"
        "INSERT INTO app.notes VALUES (1, 1), (2, 0)"
    )
    enable("users", capture=True)
    execute("DELETE FROM app.users WHERE id = 1")
    assert execute("SELECT * FROM app.notes ORDER BY id") == [(1, 0), (2, 0)]
    execute("SELECT custody.restore(%s)", [deletion().pk])
    assert execute("SELECT * FROM app.notes ORDER BY id") == [(1, 1), (2, 0)]


def test_a_parent_without_soft_delete_takes_nothing_away(governed: str, execute: Execute) -> None:
    execute(
        "CREATE TABLE app.users (id int PRIMARY KEY); INSERT INTO app.users VALUES (1), (2);"
        "CREATE TABLE app.notes (id int PRIMARY KEY, by_id int REFERENCES app.users"
        " ON DELETE CASCADE); INSERT INTO app.notes VALUES (1, 1), (2, 2)"
    )
    enable("notes", capture=True)
    execute("DELETE FROM app.notes WHERE id = 2")
    for user in (1, 2):
        error = refused(execute, "DELETE FROM app.users WHERE id = %s", user)
        assert error.sqlstate == "23503"
    assert state(execute, "notes") == ([1], [2])


def test_the_audit_log_has_both(shop: None, execute: Execute, person: User) -> None:
    table_track("app.lines", actor=person, reason="test")
    execute("DELETE FROM app.lines WHERE id = 1")
    assert execute("SELECT op FROM history.app__lines ORDER BY seq") == [("D",), ("I",)]


def test_an_error_undoes_all_of_it(shop: None, execute: Execute) -> None:
    with transaction.atomic():
        execute("DELETE FROM app.lines WHERE id = 4")
        savepoint = transaction.savepoint()
        execute("DELETE FROM app.users WHERE id = 1")
        transaction.savepoint_rollback(savepoint)
        execute("DELETE FROM app.orders WHERE id = 3")
    assert state(execute, "users") == ([1, 2, 3], [])
    tables = DeletionTable.objects.values_list("table_name", "deleted")
    assert sorted(tables) == [("lines", 1), ("orders", 1)]
    assert not SeveredReference.objects.exists()


def test_a_setting_that_somebody_wrote_hides_nothing(shop: None, execute: Execute) -> None:
    oid = execute("SELECT 'app.lines'::regclass::oid::int8")[0][0]
    with transaction.atomic():
        execute(f"SET LOCAL custody.captured_{oid}_1 = '5'")
        execute("SET LOCAL custody.captured = '1:no'")
        execute("DELETE FROM app.lines WHERE id = 1")
    assert state(execute, "lines") == ([2, 3, 4], [1])


def test_whoever_adds_a_row_while_its_parent_is_deleted(
    shop: None, execute: Execute, other_session: Connect
) -> None:
    deleter, writer = other_session(), other_session()
    deleter.execute("BEGIN")
    deleter.execute("DELETE FROM app.users WHERE id = 1")
    writer.execute("SET lock_timeout = '100ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        writer.execute("INSERT INTO app.orders (user_id) VALUES (1)")
    deleter.execute("COMMIT")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        writer.execute("INSERT INTO app.orders (user_id) VALUES (1)")
    assert state(execute, "users") == ([2, 3], [1])


@pytest.mark.superuser
def test_what_a_replica_applies_is_not_captured(shop: None, execute: Execute) -> None:
    with transaction.atomic():
        execute("SET LOCAL session_replication_role = replica")
        execute("DELETE FROM app.lines WHERE id = 1")
    assert state(execute, "lines") == ([2, 3, 4], [])
    assert not Deletion.objects.exists()

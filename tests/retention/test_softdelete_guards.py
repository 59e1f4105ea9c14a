"""No active row comes under a deleted one, and what an application marks itself is a deletion."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from django.db import transaction

from retention.models import Deletion, DeletionTable
from tests.auditing.sessions import role_made

from .shielding import Execute, deletion, refused, rowcount, shop_made, state
from .softdeleting import enable, soft_delete

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql]

Connect = Callable[[], psycopg.Connection]


@pytest.fixture
def shop(governed: str, execute: Execute) -> None:
    shop_made(execute)


def test_a_row_under_a_deleted_one_is_refused_as_the_foreign_key_would(
    shop: None, execute: Execute
) -> None:
    never = refused(execute, "INSERT INTO app.orders (user_id) VALUES (99)")
    soft_delete("users", 1)
    error = refused(execute, "INSERT INTO app.orders (user_id) VALUES (2), (1)")
    assert (error.sqlstate, str(error.diag.message_primary)) == (
        never.sqlstate,
        never.diag.message_primary,
    )
    assert error.diag.constraint_name == never.diag.constraint_name == "orders_user_id_fkey"
    assert error.diag.message_detail == 'Key (user_id)=(1) is not present in table "users".'
    assert error.diag.message_detail == str(never.diag.message_detail).replace("99", "1")

    merge = "MERGE INTO app.tickets t USING (SELECT {} AS id) s ON t.id = s.id WHEN {}"
    for statement in (
        "INSERT INTO app.tickets VALUES (2, 1)",
        "UPDATE app.tickets SET user_id = 1",
        "UPDATE app.orders SET user_id = 1 WHERE id = 3",
        "INSERT INTO app.tickets VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET user_id = 1",
        merge.format(7, "NOT MATCHED THEN INSERT VALUES (s.id, 1)"),
        merge.format(1, "MATCHED THEN UPDATE SET user_id = 1"),
        "INSERT INTO app.users VALUES (5, 'x', 1)",
    ):
        assert refused(execute, statement).sqlstate == "23503", statement
    # A row that is deleted itself may be there, and others go their way.
    execute("INSERT INTO app.tickets VALUES (3, 2), (4, NULL)")
    execute("UPDATE app.orders SET note = 'n', user_id = user_id")
    assert state(execute, "orders", "id, note") == ([(3, "n")], [(1, "n"), (2, "n")])


def test_copy_is_guarded(shop: None, execute: Execute, other_session: Connect) -> None:
    soft_delete("users", 1)
    session = other_session()
    with (
        pytest.raises(psycopg.errors.ForeignKeyViolation),
        session.cursor().copy("COPY app.tickets FROM STDIN") as copy,
    ):
        copy.write("2\t2\n3\t1\n")
    assert execute("SELECT id FROM app.tickets") == [(1,)]


def test_a_key_that_waits_for_the_commit_is_guarded_at_once(shop: None, execute: Execute) -> None:
    execute(
        "ALTER TABLE app.tickets ALTER CONSTRAINT tickets_user_id_fkey"
        " DEFERRABLE INITIALLY DEFERRED"
    )
    execute("SELECT custody.softdelete_shield_make('app.users'::regclass)")
    soft_delete("users", 1)
    assert refused(execute, "INSERT INTO app.tickets VALUES (2, 1)").sqlstate == "23503"


@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_whoever_adds_a_row_while_its_parent_is_deleted_is_refused(
    shop: None, execute: Execute, other_session: Connect, level: str, deferred: bool
) -> None:
    if deferred:
        execute(
            "ALTER TABLE app.tickets ALTER CONSTRAINT tickets_user_id_fkey"
            " DEFERRABLE INITIALLY DEFERRED"
        )
        execute("SELECT custody.softdelete_shield_make('app.users'::regclass)")
    writer = other_session()
    writer.execute(f"BEGIN ISOLATION LEVEL {level}")
    writer.execute("SELECT 1 FROM app.users")
    soft_delete("users", 1)
    with pytest.raises((psycopg.errors.ForeignKeyViolation, psycopg.errors.SerializationFailure)):
        writer.execute("INSERT INTO app.tickets VALUES (2, 1); COMMIT")
    writer.execute("ROLLBACK")
    assert execute("SELECT id FROM app.tickets") == [(1,)]


def test_partitions_are_guarded_at_every_level(governed: str, execute: Execute) -> None:
    execute(
        "CREATE TABLE app.users (id int PRIMARY KEY);"
        "CREATE TABLE app.visits (id int, place int, user_id int REFERENCES app.users)"
        " PARTITION BY LIST (place);"
        "CREATE TABLE app.visits_1 PARTITION OF app.visits FOR VALUES IN (1);"
        "CREATE TABLE app.visits_2 PARTITION OF app.visits FOR VALUES IN (2)"
        " PARTITION BY RANGE (id);"
        "CREATE TABLE app.visits_2a PARTITION OF app.visits_2 FOR VALUES FROM (1) TO (100);"
        "INSERT INTO app.users VALUES (1), (2); INSERT INTO app.visits VALUES (1, 1, 2), (2, 2, 2)"
    )
    enable("users")
    soft_delete_of_one = refused(execute, "DELETE FROM app.users WHERE id = 2")
    assert soft_delete_of_one.sqlstate == "23503"
    soft_delete("users", 1)
    for name in ("visits", "visits_1"):
        assert refused(execute, f"INSERT INTO app.{name} VALUES (3, 1, 1)").sqlstate == "23503"
    for name in ("visits", "visits_2", "visits_2a"):
        assert refused(execute, f"INSERT INTO app.{name} VALUES (3, 2, 1)").sqlstate == "23503"
        assert refused(execute, f"UPDATE app.{name} SET user_id = 1").sqlstate == "23503"


def test_marking_a_row_by_hand_is_a_deletion(shop: None, execute: Execute) -> None:
    recipe = (
        "UPDATE app.users SET deleted_at = now(), deleted_by = %s"
        " WHERE id = %s AND deleted_at IS NULL RETURNING id"
    )
    assert execute(recipe, ["4711", 1]) == [(1,)]
    assert execute(recipe, ["4711", 1]) == []

    made = deletion()
    assert (made.source, made.actor, made.record_id) == ("function", "app:4711", "1")
    tables = DeletionTable.objects.values_list("table_name", "level", "deleted")
    assert sorted(tables) == [("lines", 2, 3), ("orders", 1, 2), ("users", 0, 1)]
    assert state(execute, "users", "id, deleted_by, boss") == (
        [(2, None, None), (3, None, None)],
        [(1, "4711", None)],
    )
    assert refused(execute, recipe, "4711", 3).sqlstate == "23503"
    assert Deletion.objects.count() == 1


def test_marks_of_one_statement_are_one_deletion(shop: None, execute: Execute) -> None:
    assert rowcount("UPDATE app.users SET deleted_at = now() WHERE id < 3") == 2
    assert deletion().roots == 2
    assert state(execute, "lines") == ([], [1, 2, 3, 4])


def test_clearing_the_mark_restores_the_record_with_what_went_along(
    shop: None, execute: Execute
) -> None:
    soft_delete("users", 1)
    back = "UPDATE app.users SET deleted_at = NULL, deleted_by = NULL WHERE id = 1"
    assert rowcount(back) == 1
    assert deletion().state == "restored"
    assert state(execute, "users", "id, boss") == ([(1, None), (2, 1), (3, None)], [])
    assert state(execute, "lines") == ([1, 2, 3, 4], [])

    # A part comes back with what it hangs on, and without the rest.
    soft_delete("users", 1)
    execute("UPDATE app.lines SET deleted_at = NULL WHERE id = 3")
    assert state(execute, "users") == ([1, 2, 3], [])
    assert state(execute, "orders") == ([2, 3], [1])
    # What hangs on a record of another deletion does not.
    soft_delete("users", 1)
    error = refused(execute, "UPDATE app.orders SET deleted_at = NULL WHERE id = 1")
    assert error.sqlstate == "23503"
    assert "custody.restore(" in (error.diag.message_hint or "")


@pytest.mark.superuser
def test_no_row_is_moved_to_another_deletion_by_hand(shop: None, execute: Execute) -> None:
    soft_delete("users", 1)
    role_made()
    execute("GRANT USAGE ON SCHEMA app TO custody_test_application")
    execute("GRANT ALL ON ALL TABLES IN SCHEMA app TO custody_test_application")
    with transaction.atomic():
        execute("SET LOCAL ROLE custody_test_application")
        error = refused(execute, "UPDATE app.users SET deletion_id = 5 WHERE id = 2")
        assert error.sqlstate == "42501"
        execute("UPDATE app.users SET name = 'x' WHERE id = 2")

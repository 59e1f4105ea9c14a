"""The application's own DELETE moves rows into the bin, with what the database deletes for it."""

from __future__ import annotations

import pytest
from django.db import transaction

from retention.models import Deletion, DeletionTable, SeveredReference

from .shielding import Execute, deletion, refused, rowcount, shop_made, state

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql]


@pytest.fixture
def shop(governed: str, execute: Execute) -> None:
    shop_made(execute, capture=True)


def test_a_delete_takes_along_what_cascades_and_remembers_what_is_set_to_null(
    shop: None, execute: Execute
) -> None:
    before = execute("SELECT id, note, shout FROM app.orders ORDER BY id")
    execute("DELETE FROM app.users WHERE id = 1")

    assert state(execute, "users", "id, boss") == ([(2, None), (3, None)], [(1, None)])
    assert state(execute, "orders") == ([3], [1, 2])
    assert state(execute, "lines") == ([4], [1, 2, 3])
    assert execute("SELECT id, note, shout FROM app.orders ORDER BY id") == before
    made = deletion()
    assert (made.source, made.table_name, made.record_id, made.roots) == (
        "captured",
        "users",
        "1",
        1,
    )
    tables = DeletionTable.objects.values_list("table_name", "level", "deleted")
    assert sorted(tables) == [("lines", 2, 3), ("orders", 1, 2), ("users", 0, 1)]
    severed = SeveredReference.objects.values_list("table_name", "record_id", "was", "became")
    assert list(severed) == [("users", "2", {"boss": "1"}, {"boss": None})]

    execute("SELECT custody.restore(%s)", [made.pk])
    assert state(execute, "users", "id, boss") == ([(1, None), (2, 1), (3, None)], [])
    assert state(execute, "lines") == ([1, 2, 3, 4], [])


def test_what_delete_says_is_what_it_always_says(shop: None, execute: Execute) -> None:
    with transaction.atomic():
        assert execute("DELETE FROM app.users WHERE id < 3 RETURNING id, name, deleted_at") == [
            (1, "ada", None),
            (2, "bob", None),
        ]
    assert rowcount("DELETE FROM app.users WHERE id = 3 AND false") == 0
    execute("DELETE FROM app.tickets")
    assert rowcount("DELETE FROM app.users WHERE id = 3") == 1
    execute(
        "CREATE FUNCTION app.found() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN"
        " DELETE FROM app.lines WHERE id = 4; RETURN FOUND; END $$"
    )
    assert execute("SELECT app.found()") == [(False,)]
    execute("INSERT INTO app.lines VALUES (9, NULL)")
    assert rowcount("DELETE FROM app.lines WHERE id = 9") == 1


def test_a_row_in_the_bin_is_not_deleted_again(shop: None, execute: Execute) -> None:
    execute("DELETE FROM app.users WHERE id = 1")
    before = execute("SELECT * FROM app.users ORDER BY id")
    assert rowcount("DELETE FROM app.users WHERE id = 1") == 0
    assert execute("SELECT * FROM app.users ORDER BY id") == before
    # Nor by what cascades: a part of what hung on it was deleted before.
    execute("DELETE FROM app.lines WHERE id = 4")
    execute("DELETE FROM app.users WHERE id = 2")
    assert DeletionTable.objects.filter(table_name="lines").count() == 2
    assert state(execute, "lines") == ([], [1, 2, 3, 4])


def test_statements_of_one_transaction_are_one_deletion(shop: None, execute: Execute) -> None:
    with transaction.atomic():
        # As an ORM deletes: children first.
        execute("DELETE FROM app.lines WHERE order_id = 3")
        execute("DELETE FROM app.orders WHERE id = 3")
        execute("DELETE FROM app.users WHERE id = 2")
    made = deletion()
    assert (made.table_name, made.record_id) == ("users", "2")
    tables = DeletionTable.objects.values_list("table_name", "level", "deleted")
    assert sorted(tables) == [("lines", 2, 1), ("orders", 1, 1), ("users", 0, 1)]


def test_what_a_foreign_key_refuses_is_refused(shop: None, execute: Execute) -> None:
    error = refused(execute, "DELETE FROM app.users WHERE id = 3")
    assert error.sqlstate == "23503"
    assert error.diag.constraint_name == "tickets_user_id_fkey"
    assert state(execute, "users") == ([1, 2, 3], [])
    assert not Deletion.objects.exists()


def test_a_key_that_waits_for_the_commit_refuses_there(shop: None, execute: Execute) -> None:
    execute(
        "ALTER TABLE app.tickets ALTER CONSTRAINT tickets_user_id_fkey"
        " DEFERRABLE INITIALLY DEFERRED"
    )
    with transaction.atomic():
        execute("DELETE FROM app.users WHERE id = 3")
        execute("DELETE FROM app.tickets")
    assert state(execute, "users") == ([1, 2], [3])

    execute("INSERT INTO app.tickets VALUES (2, 2)")
    error = refused(execute, "DELETE FROM app.users WHERE id = 2")
    assert error.sqlstate == "23503"
    assert "still referenced" in str(error)
    assert state(execute, "users") == ([1, 2], [3])

    with transaction.atomic():
        execute("SET CONSTRAINTS ALL IMMEDIATE")
        assert refused(execute, "DELETE FROM app.users WHERE id = 2").sqlstate == "23503"


def test_the_purge_s_own_delete_passes(shop: None, execute: Execute) -> None:
    execute("DELETE FROM app.users WHERE id = 1")
    with transaction.atomic():
        execute("SELECT custody.softdelete_pass()")
        execute("DELETE FROM app.users WHERE id = 1")
    assert state(execute, "users") == ([2, 3], [])
    # A setting that somebody wrote himself is none.
    with transaction.atomic():
        execute("SET LOCAL custody.softdelete_pass = 'yes'")
        execute("DELETE FROM app.orders WHERE id = 3")
    assert state(execute, "orders") == ([], [3])


def test_truncate_is_refused(shop: None, execute: Execute) -> None:
    for statement in ("TRUNCATE app.lines", "TRUNCATE app.users CASCADE"):
        error = refused(execute, statement)
        assert error.sqlstate == "55000"
        assert "DELETE moves them into the bin" in (error.diag.message_hint or "")
    assert state(execute, "users") == ([1, 2, 3], [])


def test_a_statement_of_many_rows_is_one_of_few(shop: None, execute: Execute) -> None:
    execute("INSERT INTO app.users SELECT n, 'u' FROM generate_series(10, 3009) n")
    execute(
        "INSERT INTO app.orders (user_id, note)"
        " SELECT 10 + n % 3000, 'x' FROM generate_series(1, 6000) n"
    )
    assert rowcount("DELETE FROM app.users WHERE id >= 10") == 3000
    assert deletion().roots == 3000
    tables = DeletionTable.objects.values_list("table_name", "deleted")
    assert sorted(tables) == [("orders", 6000), ("users", 3000)]

"""The database hears who acts once in every transaction that writes, and never from who reads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.transaction import TransactionManagementError
from psycopg import sql

from auditing.context import acting, acting_alone, acting_now, acting_say, context_send
from auditing.models import ChangeContext
from retention.services.copy_out import copy_out

from .capturing import Sent, captured_table, insert, reasons, rolled_back, run, seen


@pytest.fixture(autouse=True)
def thing(transactional_db: None) -> Iterator[None]:
    with captured_table():
        yield


def test_it_is_said_before_the_first_write_and_once() -> None:
    with acting(actor="console:ada", reason="asked"), Sent() as sent:
        with transaction.atomic():
            run("SELECT FROM app.thing")
            assert sent.times == 0
            insert(1)
            assert sent.times == 1
            insert(2)
            run("UPDATE app.thing SET name = 'x'")
        assert sent.times == 1
        with transaction.atomic():
            run("DELETE FROM app.thing")
        assert sent.times == 2
    assert [(op, context.actor, context.reason) for op, context in seen() if context] == [
        ("INSERT", "console:ada", "asked"),
        ("INSERT", "console:ada", "asked"),
        ("UPDATE", "console:ada", "asked"),
        ("DELETE", "console:ada", "asked"),
    ]
    assert ChangeContext.objects.count() == 2


def test_who_only_reads_says_nothing() -> None:
    with acting(reason="r"), Sent() as sent:
        run("SELECT FROM app.thing")
        run("WITH found AS (SELECT 1) SELECT FROM found")
        run("SELECT FROM app.thing FOR UPDATE")
        with transaction.atomic():
            run("SELECT 'INSERT INTO app.thing'")
            run("SHOW search_path")
    assert sent.times == 0


def test_without_anybody_nothing_is_said() -> None:
    with Sent() as sent:
        insert(1)
    assert sent.times == 0
    assert seen() == [("INSERT", None)]


def test_a_write_outside_of_a_transaction_gets_one_with_it() -> None:
    with acting(reason="r"), Sent() as sent:
        insert(1)
        insert(2)
        with pytest.raises(IntegrityError):
            insert(2)
    assert sent.times == 3
    assert reasons() == ["r", "r"]
    assert connection.get_autocommit()
    [(setting,)] = fetched("SELECT current_setting('custody.context', true)")
    assert not setting


def test_a_savepoint_rolled_back_takes_back_only_what_was_said_in_it() -> None:
    with acting(reason="r"), Sent() as sent, transaction.atomic():
        with rolled_back():
            insert(1)
        insert(1)
        assert sent.times == 2
        with rolled_back():
            insert(2)
        with transaction.atomic():
            insert(2)
        insert(3)
        assert sent.times == 2
    assert reasons() == ["r", "r", "r"]
    assert ChangeContext.objects.count() == 1


def test_a_savepoint_taken_by_hand_counts_as_well() -> None:
    with acting(reason="r"), Sent() as sent, transaction.atomic():
        first = transaction.savepoint()
        insert(1)
        transaction.savepoint_rollback(first)
        insert(1)
        assert sent.times == 2
        run('SAVEPOINT "A b"')
        run("SAVEPOINT plain")
        insert(2)
        run('ROLLBACK TO SAVEPOINT "A b"')
        insert(2)
        run('RELEASE "A b"')
        insert(3)
        assert sent.times == 2
        transaction.savepoint_rollback(first)
        insert(4)
        assert sent.times == 3
    assert reasons() == ["r"]


def test_whoever_acts_next_in_the_same_transaction_has_a_context_of_their_own() -> None:
    with transaction.atomic():
        with acting(reason="first"):
            insert(1)
            with acting(user_id="7"):
                insert(2)
            insert(3)
        insert(4)
    assert reasons() == ["first", "first", "first", None]
    assert list(ChangeContext.objects.order_by("id").values_list("reason", "user_id")) == [
        ("first", ""), ("first", "7"), ("first", ""),
    ]  # fmt: skip


def test_what_was_said_within_a_savepoint_is_taken_back_to_what_was_said_before() -> None:
    with transaction.atomic():
        with acting(reason="outside"):
            insert(1)
        with acting(reason="inside"), rolled_back():
            insert(2)
        with acting(reason="outside"), Sent() as sent:
            insert(3)
        assert sent.times == 0
    assert reasons() == ["outside", "outside"]


@pytest.mark.parametrize(
    "statement",
    [
        sql.SQL("INSERT INTO {} VALUES (1)").format(sql.Identifier("app", "thing")),
        "WITH made AS (INSERT INTO app.thing VALUES (1) RETURNING id) SELECT * FROM made",
        "WITH made AS (SELECT 1 AS id) INSERT INTO app.thing SELECT id FROM made",
        "MERGE INTO app.thing USING (SELECT) s ON false WHEN NOT MATCHED THEN INSERT VALUES (1)",
        "/* hint */ -- and more\n INSERT INTO app.thing VALUES (1)",
        "SELECT 1; INSERT INTO app.thing VALUES (1)",
        "EXPLAIN (ANALYZE) INSERT INTO app.thing VALUES (1)",
        "TRUNCATE app.thing",
    ],
)
@pytest.mark.parametrize("within", [True, False])
def test_every_way_to_write_is_seen(statement: str | sql.Composable, within: bool) -> None:
    with acting(reason="r"):
        if within:
            with transaction.atomic():
                run(statement)
        else:
            run(statement)
    assert set(reasons()) == {"r"}


@pytest.mark.parametrize(
    "statement",
    ["DO 'BEGIN INSERT INTO app.thing VALUES (1); END'", "CALL app.write()", "EXECUTE write"],
)
def test_what_only_the_server_knows_is_taken_for_a_write_in_a_transaction(statement: str) -> None:
    run("CREATE PROCEDURE app.write() LANGUAGE sql AS 'INSERT INTO app.thing VALUES (1)'")
    run("PREPARE write AS INSERT INTO app.thing VALUES (1)")
    with acting(reason="r"), transaction.atomic():
        run(statement)
    assert reasons() == ["r"]


def test_a_procedure_that_commits_is_left_alone() -> None:
    run("CREATE PROCEDURE app.write() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'")
    with acting(reason="r"):
        run("CALL app.write()")
        run("VACUUM app.thing")


def test_a_function_that_writes_is_announced_by_hand() -> None:
    run(
        "CREATE FUNCTION app.write() RETURNS void LANGUAGE sql"
        " AS 'INSERT INTO app.thing VALUES (1)'"
    )
    with acting(reason="r"):
        with transaction.atomic():
            context_send()
            run("SELECT app.write()")
            context_send()
        with pytest.raises(TransactionManagementError, match="within a transaction"):
            context_send()
    assert reasons() == ["r"]
    assert ChangeContext.objects.count() == 1


def test_rows_deleted_into_a_file_have_it_too() -> None:
    run("INSERT INTO app.thing VALUES (1), (2)")
    copy = sql.SQL("COPY (DELETE FROM app.thing RETURNING id) TO STDOUT")
    blocks: list[bytearray] = []
    with acting(reason="r"), transaction.atomic():
        assert copy_out(copy, blocks.append, using="default") == 2
    assert reasons() == [None, "r"]


def test_a_connection_that_is_cut_begins_anew() -> None:
    with acting(reason="r"):
        with pytest.raises(OperationalError), transaction.atomic():
            cut_after_a_write()
        insert(2)
    assert reasons() == ["r"]


def test_manual_transactions_have_it(django_db_blocker: object) -> None:
    connection.set_autocommit(False)
    try:
        with acting(reason="r"):
            insert(1)
            connection.rollback()
            insert(1)
            connection.commit()
            insert(2)
            connection.commit()
    finally:
        connection.set_autocommit(True)
    assert reasons() == ["r", "r"]


def test_layers_say_more_and_more_and_end_where_they_began() -> None:
    assert acting_now() is None
    acting_say(reason="to nobody")
    assert acting_now() is None
    with acting(actor="console:ada"):
        acting_say(reason="known later")
        with acting(extra={"run": 5}):
            now = acting_now()
            assert now
            assert (now.actor, now.reason, now.extra) == (
                "console:ada", "known later", {"run": 5},
            )  # fmt: skip
            with acting_alone():
                assert acting_now() is None
        assert acting_now().extra == {}  # type: ignore[union-attr]
    assert acting_now() is None


def cut_after_a_write() -> None:
    insert(1)
    connection.connection.close()


def fetched(statement: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())

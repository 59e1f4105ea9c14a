"""Nobody gets the console's rights, or another's, by the functions that run with them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest

from tests.auditing.sessions import APPLICATION as ROLE
from tests.auditing.sessions import application_session

from .shielding import TABLES, Execute, state
from .softdeleting import enable, soft_delete

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.sql,
    pytest.mark.superuser,
]


@pytest.fixture
def application(governed: str, execute: Execute) -> Iterator[psycopg.Connection]:
    """It may do all with the shop's tables, which are others', and make tables of its own."""
    with application_session() as session:
        execute(TABLES)
        execute(f"GRANT USAGE, CREATE ON SCHEMA app TO {ROLE}")
        execute(f"GRANT ALL ON ALL TABLES IN SCHEMA app TO {ROLE}")
        execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA app TO {ROLE}")
        for name in ("lines", "orders", "users"):
            enable(name)
        session.execute("CREATE TABLE app.ran (who text)")
        session.execute("GRANT INSERT ON app.ran TO PUBLIC")
        session.execute(
            "CREATE FUNCTION app.spy(int) RETURNS boolean LANGUAGE plpgsql AS"
            " $$ BEGIN INSERT INTO app.ran VALUES (current_user); RETURN true; END $$"
        )
        session.execute(
            "CREATE FUNCTION app.spy() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN INSERT INTO app.ran VALUES (current_user); RETURN NEW; END $$"
        )
        yield session


def own_records(execute: Execute, commands: str = "ALL") -> None:
    """As the usual recipe has it: whose record it is stands in a setting."""
    execute("ALTER TABLE app.users ENABLE ROW LEVEL SECURITY")
    for number, command in enumerate(commands.split()):
        execute(
            f"CREATE POLICY own_{number} ON app.users FOR {command}"
            " USING (name = current_setting('app.who', true))"
        )


def refusal(session: psycopg.Connection, statement: str) -> psycopg.Error:
    with pytest.raises(psycopg.Error) as told:
        session.execute(statement)
    return told.value


def test_the_types_of_a_table_of_ones_own_run_as_oneself(
    application: psycopg.Connection, execute: Execute
) -> None:
    application.execute("CREATE DOMAIN app.spied AS int CHECK (app.spy(value))")
    application.execute("CREATE TABLE app.own (id app.spied PRIMARY KEY)")
    application.execute("INSERT INTO app.own VALUES (1)")
    found = application.execute("SELECT * FROM custody.with_deleted(NULL::app.own, '1')")
    assert found.fetchall() == [(1,)]
    assert {who for (who,) in execute("SELECT who FROM app.ran")} == {ROLE}

    for kind in ("int", "app.ran"):
        error = refusal(application, f"SELECT custody.with_deleted(NULL::{kind}, '1')")
        assert error.sqlstate == "22023"


@pytest.mark.parametrize(
    "code",
    [
        "CREATE TRIGGER spy BEFORE UPDATE ON app.own FOR EACH ROW EXECUTE FUNCTION app.spy()",
        "ALTER TABLE app.own ADD CHECK (app.spy(id))",
        (
            "CREATE DOMAIN app.spied AS int CHECK (app.spy(value));"
            "ALTER TABLE app.own ADD more app.spied"
        ),
        "CREATE RULE spy AS ON UPDATE TO app.own DO ALSO SELECT app.spy(1)",
    ],
)
def test_a_strangers_code_is_not_run_because_his_table_refers(
    application: psycopg.Connection, execute: Execute, code: str
) -> None:
    application.execute(
        "CREATE TABLE app.own (id int PRIMARY KEY, u int REFERENCES app.users ON DELETE SET NULL)"
    )
    application.execute("INSERT INTO app.own VALUES (1, 2)")
    deletion = soft_delete("users", 2)
    assert execute("SELECT u FROM app.own") == [(None,)]
    application.execute(code)
    execute("TRUNCATE app.ran")
    # Nor does it keep anything from coming back.
    execute("SELECT custody.restore(%s)", [deletion.pk])
    assert execute("SELECT u FROM app.own") == [(None,)]
    assert state(execute, "users") == ([1, 2, 3], [])

    error = refusal(application, "SELECT custody.soft_delete('app.users', '2')")
    assert error.sqlstate == "42501"
    assert f"{ROLE} owns no table with soft delete" in str(error.diag.message_hint)
    assert state(execute, "users") == ([1, 2, 3], [])
    # And as somebody's whose tables the console works on anyway, it is.
    execute("ALTER TABLE app.own OWNER TO CURRENT_USER")
    application.execute("SELECT custody.soft_delete('app.users', '2')")
    assert state(execute, "users") == ([1, 3], [2])


def test_a_reference_to_a_record_does_not_prove_that_it_may_be_deleted(
    application: psycopg.Connection, execute: Execute
) -> None:
    own_records(execute)
    application.execute("SET app.who = 'ada'")
    for call in (
        "custody.soft_delete('app.users', '2')",
        "custody.softdelete_asked('app.users'::regclass, '2', '')",
    ):
        with application.transaction(force_rollback=True):
            application.execute("INSERT INTO app.tickets VALUES (9, 2)")
            assert refusal(application, f"SELECT {call}").sqlstate == "P0002"
    assert state(execute, "users") == ([1, 2, 3], [])

    application.execute("SET app.who = 'bob'")
    with application.transaction():
        application.execute("INSERT INTO app.orders (user_id) VALUES (2)")
        application.execute("SAVEPOINT a")
        application.execute("SELECT 1 FROM app.users WHERE id = 2 FOR SHARE")
        application.execute("SELECT custody.soft_delete('app.users', '2')")
    assert state(execute, "users") == ([1, 3], [2])


@pytest.mark.parametrize(
    ("commands", "allowed"),
    [
        ("ALL", True),
        ("SELECT UPDATE DELETE", True),
        ("SELECT UPDATE", False),
        ("ALL DELETE", True),
    ],
)
def test_who_may_change_a_record_and_not_delete_it_does_not(
    application: psycopg.Connection, execute: Execute, commands: str, allowed: bool
) -> None:
    own_records(execute, commands)
    application.execute("SET app.who = 'bob'")
    call = "SELECT custody.soft_delete('app.users', '2')"
    if allowed:
        application.execute(call)
        assert state(execute, "users") == ([1, 3], [2])
    else:
        assert refusal(application, call).sqlstate == "42501"
        assert state(execute, "users") == ([1, 2, 3], [])


def test_a_restrictive_policy_of_delete_counts(
    application: psycopg.Connection, execute: Execute
) -> None:
    own_records(execute)
    execute("CREATE POLICY kept ON app.users AS RESTRICTIVE FOR DELETE USING (id <> 2)")
    application.execute("SET app.who = 'bob'")
    error = refusal(application, "SELECT custody.soft_delete('app.users', '2')")
    assert error.sqlstate == "42501"
    assert state(execute, "users") == ([1, 2, 3], [])


def test_parents_of_other_deletions_come_back_to_whom_their_tables_are_open(
    application: psycopg.Connection, execute: Execute
) -> None:
    order = soft_delete("orders", 3)
    soft_delete("users", 2)
    execute(f"REVOKE ALL ON app.users FROM {ROLE}")
    call = f"SELECT custody.restore({order.pk}, parents => {{}})"
    error = refusal(application, call.format("false"))
    assert error.sqlstate == "23503"
    # Nor is he told who deleted it.
    [conflict] = json.loads(error.diag.message_detail or "")
    assert (conflict["parent_table"], conflict["deletion"]) == ("app.users", None)
    assert refusal(application, call.format("true")).sqlstate == "42501"
    assert state(execute, "users") == ([1, 3], [2])
    execute(f"GRANT SELECT, UPDATE ON app.users TO {ROLE}")
    application.execute(call.format("true"))
    assert state(execute, "users") == ([1, 2, 3], [])


def test_which_rows_refuse_is_told_to_whom_they_are_open(
    application: psycopg.Connection, execute: Execute
) -> None:
    call = "SELECT custody.soft_delete('app.users', '3')"
    told = [json.loads(refusal(application, call).diag.message_detail or "")[0]]
    execute(f"REVOKE SELECT ON app.tickets FROM {ROLE}")
    told.append(json.loads(refusal(application, call).diag.message_detail or "")[0])
    execute(
        f"GRANT SELECT ON app.tickets TO {ROLE};ALTER TABLE app.tickets ENABLE ROW LEVEL SECURITY"
    )
    execute("CREATE POLICY none ON app.tickets USING (false)")
    told.append(json.loads(refusal(application, call).diag.message_detail or "")[0])
    assert [each["records"] for each in told] == [["1"], [], []]
    assert {(each["table"], each["rows"]) for each in told} == {("app.tickets", 1)}


def test_nobody_inserts_into_the_bin(application: psycopg.Connection, execute: Execute) -> None:
    number = soft_delete("users", 2).pk
    for moment in ("now()", "NULL"):
        error = refusal(
            application,
            f"INSERT INTO app.users (id, deleted_at, deletion_id) VALUES (9, {moment}, {number})",
        )
        assert error.sqlstate == "42501"
    application.execute("INSERT INTO app.users (id, deleted_at) VALUES (9, now())")
    assert state(execute, "users", "id, deletion_id") == (
        [(1, None), (3, None)],
        [(2, number), (9, None)],
    )

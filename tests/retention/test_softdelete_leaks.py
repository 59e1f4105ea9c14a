"""An application that may not see deleted rows learns nothing of them, by no way round."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.auditing.sessions import APPLICATION as ROLE
from tests.auditing.sessions import application_session

from .shielding import TABLES, Execute, deletion, state
from .softdeleting import enable, soft_delete

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.sql,
    pytest.mark.superuser,
]


@pytest.fixture
def application(governed: str, execute: Execute) -> Iterator[psycopg.Connection]:
    """Of three users one is deleted, whose name is a secret."""
    with application_session() as session:
        execute(TABLES)
        execute("UPDATE app.users SET name = 'secret' WHERE id = 1")
        execute(f"GRANT USAGE, CREATE ON SCHEMA app TO {ROLE}")
        execute(f"GRANT ALL ON ALL TABLES IN SCHEMA app TO {ROLE}")
        for name in ("lines", "orders", "users"):
            enable(name, row_security=True, hidden_from=[ROLE])
        soft_delete("users", 1)
        yield session


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM app.users",
        "SELECT * FROM app.active_users",
        "SELECT array_agg(name), count(*), max(deleted_by) FROM app.users",
        "SELECT u.* FROM app.orders o RIGHT JOIN app.users u ON u.id = o.user_id",
        "SELECT (SELECT name FROM app.users u WHERE u.id = 1), count(*) FROM app.users",
        "SELECT name FROM app.users WHERE id IN (SELECT user_id FROM app.orders)",
        "SELECT * FROM app.users FOR UPDATE",
        "TABLE app.users",
        "WITH u AS MATERIALIZED (SELECT * FROM app.users) SELECT * FROM u",
        "UPDATE app.users SET name = name RETURNING *",
        "UPDATE app.users u SET name = v.name FROM app.users v RETURNING v.*",
        "DELETE FROM app.users WHERE id = 1 RETURNING *",
        "SELECT * FROM app.users TABLESAMPLE SYSTEM (100)",
        "SELECT most_common_vals FROM pg_stats WHERE tablename = 'users' AND attname = 'name'",
    ],
)
def test_no_query_shows_it(application: psycopg.Connection, execute: Execute, query: str) -> None:
    execute("ANALYZE app.users")
    assert "secret" not in str(application.execute(query).fetchall())
    assert state(execute, "users", "id, name")[1] == [(1, "secret")]


def test_no_function_in_a_condition_is_given_it(
    application: psycopg.Connection, execute: Execute
) -> None:
    application.execute(
        "CREATE FUNCTION app.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS"
        " $$ BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END $$"
    )
    told: list[str] = []
    application.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
    application.execute("SELECT count(*) FROM app.users WHERE app.leak(name)")
    application.execute("UPDATE app.users SET name = name WHERE app.leak(name)")
    application.execute("SELECT count(*) FROM app.active_users WHERE app.leak(name)")
    assert {each for each in told if each.startswith("saw")} == {"saw bob", "saw eve"}


def test_copy_writes_it_nowhere(application: psycopg.Connection) -> None:
    with application.cursor().copy("COPY app.users (id, name) TO STDOUT") as copy:
        written = b"".join(bytes(each) for each in copy)
    assert sorted(written.split()) == [b"2", b"3", b"bob", b"eve"]


def test_errors_say_of_it_what_they_say_of_none(application: psycopg.Connection) -> None:
    def told(statement: str) -> tuple[str | None, ...]:
        with pytest.raises(psycopg.Error) as error:
            application.execute(statement)
        diag = error.value.diag
        return diag.sqlstate, diag.message_primary, diag.message_detail, diag.message_hint

    def same(of_it: tuple[str | None, ...], of_none: tuple[str | None, ...]) -> None:
        assert of_it[:2] == of_none[:2]
        assert "secret" not in str(of_it)
        assert "deleted" not in str(of_it)

    insert = "INSERT INTO app.tickets VALUES (5, {})"
    same(told(insert.format(1)), told(insert.format(77)))
    call = "SELECT custody.soft_delete('app.users', '{}')"
    assert told(call.format(1)) == told(call.format(77))
    upsert = "INSERT INTO app.users VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = 'x'"
    assert "secret" not in str(told(upsert))
    assert (
        application.execute(
            "INSERT INTO app.users VALUES (1, 'x') ON CONFLICT DO NOTHING RETURNING *"
        ).fetchall()
        == []
    )


def test_functions_ask_for_the_rights_of_the_table(
    application: psycopg.Connection, execute: Execute
) -> None:
    execute(f"REVOKE ALL ON app.users FROM {ROLE}")
    for call in (
        "custody.soft_delete('app.users', '2')",
        f"custody.restore({deletion().pk})",
        "custody.hard_delete('app.users', '2')",
        "custody.active_view_drop('app.users')",
        "custody.active_view_make('app.users')",
        "custody.softdelete_shield_drop('app.users'::regclass)",
        "custody.softdelete_pass()",
        "custody.softdelete_restore(1, NULL, NULL, false, NULL)",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            application.execute(f"SELECT {call}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        application.execute("SELECT * FROM custody.with_deleted(NULL::app.users, '1')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        application.execute("SELECT * FROM app.active_users")
    assert state(execute, "users") == ([2, 3], [1])


def test_no_function_of_ours_is_open_that_need_not_be(
    application: psycopg.Connection, execute: Execute
) -> None:
    found = execute(
        "SELECT DISTINCT p.proname::text FROM pg_proc p"
        " WHERE p.pronamespace = 'custody'::regnamespace"
        " AND p.proname ~ '^softdelete_|^active_view_'"
        " AND has_function_privilege(%s, p.oid, 'EXECUTE') ORDER BY 1",
        [ROLE],
    )
    assert [row[0] for row in found] == [
        "active_view_drop",
        "active_view_make",
        "softdelete_ask_purge",
        "softdelete_asked",
        "softdelete_condition",
        "softdelete_hidden",
        "softdelete_in_bin",
    ]

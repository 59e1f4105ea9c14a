"""The view of active rows, as an application uses it."""

from __future__ import annotations

import pytest

from tests.auditing.sessions import APPLICATION as ROLE
from tests.auditing.sessions import role_made

from .shielding import Execute, refused, rowcount, shop_made
from .softdeleting import enable, soft_delete

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql]

FACTS = """
SELECT pg_get_userbyid(c.relowner) = pg_get_userbyid(t.relowner), c.reloptions,
       obj_description(c.oid, 'pg_class')
FROM pg_class c, pg_class t
WHERE c.oid = 'app.active_users'::regclass AND t.oid = 'app.users'::regclass
"""


@pytest.fixture
def shop(governed: str, execute: Execute) -> None:
    shop_made(execute)


def test_it_shows_active_rows_and_is_written_like_the_table(shop: None, execute: Execute) -> None:
    soft_delete("users", 1)
    assert execute("SELECT id FROM app.active_users ORDER BY id") == [(2,), (3,)]
    assert execute(FACTS) == [
        (True, ["security_invoker=true"], "Rows of app.users that are not deleted")
    ]
    execute("INSERT INTO app.active_users (id, name) VALUES (8, 'new')")
    assert rowcount("UPDATE app.active_users SET name = 'x'") == 3
    assert rowcount("DELETE FROM app.active_users WHERE id = 8") == 1
    joined = (
        "SELECT count(*), (SELECT count(*) FROM app.active_lines)"
        " FROM app.active_users u LEFT JOIN app.active_orders o ON o.user_id = u.id"
    )
    assert execute(joined) == [(2, 1)]


def test_it_is_made_once_and_goes_with_the_shield(shop: None, execute: Execute) -> None:
    before = execute("SELECT 'app.active_users'::regclass::oid")
    triggers = "SELECT oid, tgname FROM pg_trigger WHERE tgname ~* '^custody_softdelete' ORDER BY 1"
    made = execute(triggers)
    execute("SELECT custody.softdelete_shield_make('app.users'::regclass)")
    assert execute("SELECT 'app.active_users'::regclass::oid") == before
    assert execute(triggers) == made
    for name in ("users", "orders", "lines"):
        execute(f"SELECT custody.softdelete_shield_drop('app.{name}'::regclass)")
        execute(
            "UPDATE custody.retention_softdeletetable SET disabled_at = now()"
            " WHERE table_name = %s",
            [name],
        )
    assert execute(triggers) == []
    assert execute("SELECT count(*) FROM pg_views WHERE schemaname = 'app'") == [(0,)]


@pytest.mark.superuser
def test_what_the_table_granted_the_view_grants(governed: str, execute: Execute) -> None:
    role_made()
    execute("CREATE TABLE app.users (id int PRIMARY KEY, name text, secret text)")
    execute(f"GRANT SELECT (id, name), INSERT, TRUNCATE ON app.users TO {ROLE}")
    enable("users")
    assert execute(
        "SELECT has_column_privilege(%s, 'app.active_users', 'name', 'SELECT'),"
        " has_column_privilege(%s, 'app.active_users', 'secret', 'SELECT'),"
        " has_table_privilege(%s, 'app.active_users', 'INSERT'),"
        " has_table_privilege(%s, 'app.active_users', 'DELETE')",
        [ROLE] * 4,
    ) == [(True, False, True, False)]


def test_a_view_that_somebody_made_is_not_taken_for_ours(governed: str, execute: Execute) -> None:
    execute("CREATE TABLE app.users (id int PRIMARY KEY)")
    execute("CREATE VIEW app.active_users AS SELECT 1 AS one")
    execute("CREATE TABLE app.things (id int PRIMARY KEY)")
    enable("things")
    execute("UPDATE custody.retention_softdeletetable SET view_name = 'active_users'")
    execute("SELECT custody.softdelete_view_drop('app.things'::regclass)")
    error = refused(execute, "SELECT custody.softdelete_view_make('app.things'::regclass)")
    assert error.sqlstate == "42P07"
    assert execute("SELECT one FROM app.active_users") == [(1,)]

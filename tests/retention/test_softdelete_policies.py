"""Deleted rows are hidden from the application's role, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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

Connect = Callable[[], psycopg.Connection]


@pytest.fixture
def application(governed: str, execute: Execute) -> Iterator[psycopg.Connection]:
    with application_session() as session:
        execute(TABLES)
        execute(f"GRANT USAGE ON SCHEMA app TO {ROLE}, PUBLIC")
        execute(f"GRANT ALL ON ALL TABLES IN SCHEMA app TO {ROLE}")
        yield session


def enabled() -> None:
    for name in ("lines", "orders", "users"):
        enable(name, row_security=True, hidden_from=[ROLE])


def test_deleted_rows_are_hidden_from_the_role_and_from_nobody_else(
    application: psycopg.Connection, execute: Execute, other_session: Connect
) -> None:
    enabled()
    soft_delete("users", 1)
    assert application.execute("SELECT id FROM app.users ORDER BY 1").fetchall() == [(2,), (3,)]
    assert application.execute("SELECT id FROM app.active_users").rowcount == 2
    # What writes without reading meets no deleted row either.
    assert application.execute("UPDATE app.users SET name = 'x'").rowcount == 2
    assert application.execute("DELETE FROM app.lines").rowcount == 1
    assert application.execute("INSERT INTO app.users VALUES (9) RETURNING id").rowcount == 1
    # A role that was not named, and no owner, sees all as before.
    execute("GRANT SELECT ON app.users TO PUBLIC")
    with application_session("custody_test_reader") as reader:
        assert reader.execute("SELECT id FROM app.users").rowcount == 4
    assert state(execute, "users") == ([2, 3, 9], [1])


def test_beside_a_policy_of_own_records(application: psycopg.Connection, execute: Execute) -> None:
    execute("ALTER TABLE app.users ENABLE ROW LEVEL SECURITY")
    execute(
        f"CREATE POLICY own ON app.users TO {ROLE}"
        " USING (id::text = current_setting('app.own', true))"
    )
    enabled()
    application.execute("SET app.own = '1'")
    assert application.execute("SELECT id FROM app.users").fetchall() == [(1,)]
    assert application.execute("UPDATE app.users SET name = 'x'").rowcount == 1
    # What it marks itself it would not see any more: PostgreSQL refuses it. The function does not.
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        application.execute("UPDATE app.users SET deleted_at = now() WHERE id = 1")
    with pytest.raises(psycopg.errors.NoDataFound):
        application.execute("SELECT custody.soft_delete('app.users', '2')")
    application.execute("SELECT custody.soft_delete('app.users', '1')")
    assert application.execute("SELECT id FROM app.users").fetchall() == []
    assert state(execute, "users") == ([2, 3], [1])
    with pytest.raises(psycopg.errors.NoDataFound):
        application.execute("SELECT custody.soft_delete('app.users', '1')")
    application.execute("SET app.own = '2'")
    assert application.execute("DELETE FROM app.users").rowcount == 1
    # Its policy stays when ours go.
    for name in ("users", "orders", "lines"):
        execute(f"SELECT custody.softdelete_shield_drop('app.{name}'::regclass)")
    assert execute("SELECT polrelid::regclass::text, polname FROM pg_policy") == [
        ("app.users", "own")
    ]
    assert execute(
        "SELECT relname FROM pg_class WHERE relrowsecurity AND relnamespace = 'app'::regnamespace"
    ) == [("users",)]


def test_partitions_are_hidden_too(application: psycopg.Connection, execute: Execute) -> None:
    execute(
        "CREATE TABLE app.visits (id int PRIMARY KEY) PARTITION BY RANGE (id);"
        "CREATE TABLE app.visits_1 PARTITION OF app.visits FOR VALUES FROM (1) TO (100);"
        "INSERT INTO app.visits VALUES (1), (2);"
        f"GRANT ALL ON app.visits, app.visits_1 TO {ROLE}"
    )
    enable("visits", row_security=True, hidden_from=[ROLE])
    soft_delete("visits", 1)
    for name in ("visits", "visits_1", "active_visits"):
        found = application.execute(f"SELECT id FROM app.{name}").fetchall()
        assert found == [(2,)]

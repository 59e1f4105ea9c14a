"""The view of active rows gives way to a change of its table, and follows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.db import transaction

from retention.models import SoftDeleteTable
from retention.services.softdelete_events import (
    EVENT_TRIGGERS,
    softdelete_event_triggers,
    softdelete_events_stand,
)
from tests.auditing.sessions import APPLICATION as ROLE
from tests.auditing.sessions import role_made

from .shielding import Execute, refused, shop_made
from .softdeleting import soft_delete

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.sql,
    pytest.mark.superuser,
]

Connect = Callable[[], psycopg.Connection]


@pytest.fixture
def shop(governed: str, execute: Execute) -> Iterator[None]:
    shop_made(execute)
    assert softdelete_event_triggers(using="default")
    yield
    for name in EVENT_TRIGGERS:
        execute(f"DROP EVENT TRIGGER IF EXISTS {name}")


def columns(execute: Execute, view: str = "app.active_users") -> list[str]:
    found = execute(
        "SELECT attname::text || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attnum > 0 ORDER BY attnum",
        [view],
    )
    ours = ("deleted_at", "deleted_by", "deletion_id")
    return [row[0] for row in found if not row[0].startswith(ours)]


def test_changes_that_a_view_blocks(shop: None, execute: Execute) -> None:
    execute("ALTER TABLE app.users ADD COLUMN mail text")
    assert columns(execute) == ["id integer", "name text", "boss integer", "mail text"]
    execute("ALTER TABLE app.users ALTER COLUMN name TYPE varchar(20)")
    assert columns(execute)[1] == "name character varying(20)"
    execute("ALTER TABLE app.users RENAME COLUMN name TO title")
    assert columns(execute)[1] == "title character varying(20)"
    execute("alter table app.users drop title, drop mail")
    assert columns(execute) == ["id integer", "boss integer"]
    soft_delete("users", 1)
    assert execute("SELECT count(*) FROM app.active_users") == [(2,)]


def test_what_was_given_to_it_stays(shop: None, execute: Execute) -> None:
    role_made()
    execute(f"GRANT SELECT ON app.active_users TO {ROLE}, PUBLIC")
    execute(f"GRANT UPDATE (id) ON app.active_users TO {ROLE} WITH GRANT OPTION")
    execute("COMMENT ON VIEW app.active_users IS 'mine'")
    execute("ALTER VIEW app.active_users SET (security_barrier = true)")
    facts = (
        "SELECT relacl::text, relowner, reloptions, obj_description(c.oid, 'pg_class'),"
        " ARRAY(SELECT attacl::text FROM pg_attribute a WHERE attrelid = c.oid AND attacl IS NOT"
        " NULL) FROM pg_class c WHERE c.oid = 'app.active_users'::regclass"
    )
    before = execute(facts)
    execute("ALTER TABLE app.users DROP COLUMN name")
    after = execute(facts)
    assert after[0][1:] == before[0][1:]
    assert sorted(after[0][0].strip("{}").split(",")) == sorted(before[0][0].strip("{}").split(","))
    execute("ALTER TABLE app.users ADD COLUMN more int")
    assert execute(facts)[0][1:] == before[0][1:]


def test_from_functions_and_blocks(shop: None, execute: Execute, other_session: Connect) -> None:
    execute(
        "DO $$ BEGIN EXECUTE format('ALTER TABLE app.%I DROP COLUMN name', 'use' || 'rs'); END $$"
    )
    assert columns(execute) == ["id integer", "boss integer"]
    execute(
        "CREATE FUNCTION app.migrate() RETURNS void LANGUAGE sql AS"
        " 'ALTER TABLE app.users DROP COLUMN boss'"
    )
    execute("SELECT app.migrate()")
    assert columns(execute) == ["id integer"]


def test_a_failing_or_undone_change_leaves_it(shop: None, execute: Execute) -> None:
    before = execute("SELECT 'app.active_users'::regclass::oid")
    refused(execute, "ALTER TABLE app.users ALTER name TYPE int USING name::int")
    assert execute("SELECT 'app.active_users'::regclass::oid") == before
    with transaction.atomic():
        execute("ALTER TABLE app.users DROP COLUMN name")
        assert columns(execute) == ["id integer", "boss integer"]
        transaction.set_rollback(True)
    assert execute("SELECT 'app.active_users'::regclass::oid") == before
    with transaction.atomic():
        execute("ALTER TABLE app.users ADD COLUMN a int")
        execute("ALTER TABLE app.users DROP COLUMN name")
        execute("ALTER TABLE app.orders DROP COLUMN note CASCADE")
    assert columns(execute) == ["id integer", "boss integer", "a integer"]
    assert columns(execute, "app.active_orders") == ["id integer", "user_id integer"]


def test_a_view_upon_it_is_left_to_postgresql(shop: None, execute: Execute) -> None:
    execute("CREATE VIEW app.mine AS SELECT id, name FROM app.active_users")
    error = refused(execute, "ALTER TABLE app.users DROP COLUMN name")
    assert error.sqlstate == "2BP01"
    # It shows what it needs, and the change goes on.
    execute("ALTER TABLE app.users ADD COLUMN mail text")
    assert execute("SELECT count(*) FROM app.mine") == [(3,)]
    assert columns(execute)[-1] == "mail text"


def test_another_name_and_another_schema(shop: None, execute: Execute) -> None:
    execute("CREATE SCHEMA other")
    try:
        execute("ALTER TABLE app.users RENAME TO people")
        execute("ALTER TABLE app.people SET SCHEMA other")
        assert columns(execute, "other.active_users") == [
            "id integer",
            "name text",
            "boss integer",
        ]
        row = SoftDeleteTable.objects.get(view_name="active_users")
        assert (row.schema_name, row.table_name) == ("other", "people")
        execute("UPDATE other.people SET deleted_at = now() WHERE id = 1")
        error = refused(execute, "INSERT INTO app.orders (user_id) VALUES (1)")
        assert (error.sqlstate, 'in table "people"' in str(error)) == ("23503", True)
    finally:
        execute("DROP SCHEMA other CASCADE")


def test_a_dropped_table_takes_it_along(shop: None, execute: Execute) -> None:
    execute("DROP TABLE app.lines")
    assert execute("SELECT to_regclass('app.active_lines')") == [(None,)]
    assert execute("SELECT count(*) FROM app.active_orders") == [(3,)]


def test_other_tables_changes_wait_for_no_reader(
    shop: None, execute: Execute, other_session: Connect
) -> None:
    reader = other_session()
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM app.active_users")
    with transaction.atomic():
        execute("SET LOCAL lock_timeout = '2s'")
        execute("ALTER TABLE app.lines ADD COLUMN a int")
        execute("ALTER TABLE app.lines DROP COLUMN a")
        execute("CREATE TABLE app.more (id int)")
        execute("DO $$ BEGIN ALTER TABLE app.more ALTER id TYPE bigint; END $$")
        execute("DROP TABLE app.more")
    reader.execute("COMMIT")


def test_a_new_reference_is_guarded(shop: None, execute: Execute) -> None:
    soft_delete("users", 1)
    execute("CREATE TABLE app.notes (id int, user_id int REFERENCES app.users)")
    assert refused(execute, "INSERT INTO app.notes VALUES (1, 1)").sqlstate == "23503"
    execute("ALTER TABLE app.notes ADD COLUMN by_id int REFERENCES app.users")
    assert refused(execute, "INSERT INTO app.notes VALUES (1, 2, 1)").sqlstate == "23503"
    execute("ALTER TABLE app.notes RENAME COLUMN by_id TO author_id")
    assert refused(execute, "INSERT INTO app.notes VALUES (1, 2, 1)").sqlstate == "23503"
    execute("ALTER TABLE app.notes DROP CONSTRAINT notes_by_id_fkey")
    execute("INSERT INTO app.notes VALUES (1, 2, 1)")


def test_without_event_triggers_a_migration_calls_functions(shop: None, execute: Execute) -> None:
    for name in EVENT_TRIGGERS:
        execute(f"DROP EVENT TRIGGER {name}")
    assert not softdelete_events_stand(using="default")
    assert refused(execute, "ALTER TABLE app.users DROP COLUMN name").sqlstate == "2BP01"
    with transaction.atomic():
        execute("SELECT custody.active_view_drop('app.users')")
        execute("ALTER TABLE app.users DROP COLUMN name")
        execute("SELECT custody.active_view_make('app.users')")
    assert columns(execute) == ["id integer", "boss integer"]
    # A renamed table is guarded although nothing followed it.
    soft_delete("users", 1)
    execute("ALTER TABLE app.users RENAME TO people")
    assert refused(execute, "INSERT INTO app.tickets VALUES (2, 1)").sqlstate == "23503"


def test_no_guard_is_lost_on_the_way(shop: None, execute: Execute) -> None:
    """A command that names a table takes its guards away for as long as it runs."""
    wanted = "SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgname ~ '^custody_soft'"
    before = sorted(execute(wanted), key=str)
    execute("/* orders, lines, tickets */ ALTER TABLE app.users DROP COLUMN name")
    assert sorted(execute(wanted), key=str) == before


def test_namesakes_are_left_alone(shop: None, execute: Execute, other_session: Connect) -> None:
    """A table of a role that may not change ours, and one that is named with its own schema."""
    role_made()
    execute("CREATE SCHEMA other; CREATE TABLE other.users (id int, name text)")
    other = other_session()
    try:
        for role, table in ((ROLE, "users"), ("", "other.users")):
            if role == ROLE:
                other.execute(f"SET SESSION AUTHORIZATION {role}")
            with other.transaction(force_rollback=True):
                if role == ROLE:
                    other.execute("CREATE TEMP TABLE users (id int, name text)")
                other.execute(f"ALTER TABLE {table} DROP COLUMN name")
                with transaction.atomic():
                    execute("SET LOCAL lock_timeout = '1s'")
                    assert execute("SELECT count(*) FROM app.active_users") == [(3,)]
            other.execute("RESET SESSION AUTHORIZATION")
    finally:
        execute("DROP SCHEMA other CASCADE")

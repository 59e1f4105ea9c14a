"""Partitions that come later, and rows that move between them, are as the others."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from retention.services.softdelete_events import EVENT_TRIGGERS, softdelete_event_triggers
from tests.auditing.sessions import APPLICATION as OWNER
from tests.auditing.sessions import application_session

from .shielding import Execute, refused
from .softdeleting import enable, soft_delete

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql]

VISITS = """
CREATE TABLE app.users (id int PRIMARY KEY);
CREATE TABLE app.visits (id int, place int, user_id int REFERENCES app.users ON DELETE CASCADE,
    PRIMARY KEY (id, place)) PARTITION BY LIST (place);
CREATE TABLE app.visits_1 PARTITION OF app.visits FOR VALUES IN (1);
"""
SECOND = "CREATE TABLE app.visits_2 PARTITION OF app.visits FOR VALUES IN (2)"
ROWS = "INSERT INTO app.users VALUES (1), (2); INSERT INTO app.visits VALUES (1, 1, 2), (2, 1, 2)"


@pytest.fixture
def owner(governed: str, execute: Execute) -> Iterator[psycopg.Connection]:
    """Who makes the tables, and is not the console."""
    with application_session() as session:
        execute(f"GRANT USAGE, CREATE ON SCHEMA app TO {OWNER}")
        for statement in VISITS.split(";"):
            session.execute(statement)  # type: ignore[call-overload]
        yield session
        for name in EVENT_TRIGGERS:
            execute(f"DROP EVENT TRIGGER IF EXISTS {name}")


def triggers(execute: Execute, table: str) -> list[str]:
    """Without the digests."""
    found = execute(
        "SELECT regexp_replace(tgname, '_[0-9a-f]{8}$', '') FROM pg_trigger"
        " WHERE tgrelid = %s::regclass AND NOT tgisinternal ORDER BY 1",
        [table],
    )
    return [row[0] for row in found]


@pytest.mark.superuser
@pytest.mark.parametrize("follows", [True, False])
def test_the_tables_owner_makes_partitions(
    owner: psycopg.Connection, execute: Execute, follows: bool
) -> None:
    if follows:
        assert softdelete_event_triggers(using="default")
    enable("users")
    enable("visits", capture=True)
    owner.execute(SECOND)
    if not follows:
        owner.execute("SELECT custody.active_view_make('app.visits')")
    assert triggers(execute, "app.visits_2") == triggers(execute, "app.visits_1")
    for statement in ROWS.split(";"):
        owner.execute(statement)  # type: ignore[call-overload]
    soft_delete("users", 1)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        owner.execute("INSERT INTO app.visits_2 VALUES (3, 2, 1)")


@pytest.mark.superuser
def test_a_partitioned_table_that_only_refers_has_partitions_too(
    owner: psycopg.Connection, execute: Execute
) -> None:
    enable("users")
    execute("SELECT custody.softdelete_shield_make('app.users'::regclass)")
    owner.execute(SECOND)
    owner.execute("SELECT custody.active_view_make('app.visits')")
    assert triggers(execute, "app.visits_2") == [
        "custody_softdelete_insert",
        "custody_softdelete_update",
    ]


def shop(execute: Execute) -> None:
    execute(VISITS + SECOND)
    enable("users")
    enable("visits")
    execute(ROWS)


def visits(execute: Execute) -> list[tuple[object, ...]]:
    return execute(
        "SELECT id, place, user_id, deleted_at IS NULL, deletion_id IS NULL"
        " FROM app.visits ORDER BY id"
    )


def test_a_row_that_moves_does_not_come_under_a_deleted_one(
    governed: str, execute: Execute
) -> None:
    shop(execute)
    soft_delete("users", 1)
    error = refused(execute, "UPDATE app.visits SET user_id = 1, place = 2 WHERE id = 1")
    assert error.sqlstate == "23503"
    assert error.diag.constraint_name == "visits_user_id_fkey"
    execute("UPDATE app.visits SET place = 2 WHERE id = 1")
    assert visits(execute) == [(1, 2, 2, True, True), (2, 1, 2, True, True)]


def test_a_row_of_the_bin_that_moves_stays_in_it_or_comes_back(
    governed: str, execute: Execute
) -> None:
    shop(execute)
    soft_delete("users", 2)
    execute("UPDATE app.visits SET place = 2 WHERE id = 1")
    assert visits(execute) == [(1, 2, 2, False, False), (2, 1, 2, False, False)]
    # Its parent comes along, as when it stays where it is.
    execute("UPDATE app.visits SET place = 1, deleted_at = NULL WHERE id = 1")
    assert visits(execute) == [(1, 1, 2, True, True), (2, 1, 2, False, False)]
    assert execute("SELECT id, deleted_at IS NULL FROM app.users ORDER BY 1") == [
        (1, True),
        (2, True),
    ]
    # And what is marked while it moves is a deletion.
    execute("UPDATE app.visits SET place = 2, deleted_at = now() WHERE id = 1")
    assert visits(execute)[0] == (1, 2, 2, False, False)

"""Behind PgBouncer in transaction mode nobody has the context of somebody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from psycopg.errors import UniqueViolation

from auditing.context import acting

from .capturing import captured_table, seen
from .pooler import Pooler, pooler
from .sessions import APPLICATION, role_made

SAY = "SELECT custody.set_context(\"user\" => %s, reason => 'r')"


@pytest.fixture
def pooled(transactional_db: None) -> Iterator[Pooler]:
    role_made()
    with captured_table(APPLICATION), pooler(APPLICATION) as made:
        yield made


def server_of(client: psycopg.Connection) -> int:
    return client.execute("SELECT pg_backend_pid()").fetchone()[0]  # type: ignore[index]


def insert(client: psycopg.Connection, number: int) -> None:
    client.execute("INSERT INTO app.thing VALUES (%s)", [number])


def actors() -> list[str | None]:
    return [context.actor if context else None for _, context in seen()]


def test_two_clients_in_turn_on_one_server_connection(pooled: Pooler) -> None:
    ada, eve = pooled.client(), pooled.client()
    assert server_of(ada) == server_of(eve)
    for number in range(0, 40, 4):
        with ada.transaction():
            ada.execute(SAY, [str(number)])
            insert(ada, number)
        insert(eve, number + 1)
        with eve.transaction():
            insert(eve, number + 2)
        with eve.transaction():
            eve.execute(SAY, [f"eve {number}"])
            insert(eve, number + 3)
    assert server_of(ada) == server_of(eve)
    expected = [[f"app:{n}", None, None, f"app:eve {n}"] for n in range(0, 40, 4)]
    assert actors() == [each for four in expected for each in four]


def test_said_outside_of_a_transaction_it_reaches_nobody(pooled: Pooler) -> None:
    ada, eve = pooled.client(), pooled.client()
    ada.execute(SAY, ["1"])
    insert(eve, 1)
    insert(ada, 2)
    assert actors() == [None, None]


def test_a_transaction_that_is_interrupted_leaves_nothing(pooled: Pooler) -> None:
    ada, eve = pooled.client(), pooled.client()
    insert(eve, 1)
    ada.execute("BEGIN")
    ada.execute(SAY, ["1"])
    with pytest.raises(UniqueViolation):
        insert(ada, 1)
    ada.execute("COMMIT")
    insert(eve, 2)
    ada.execute("BEGIN")
    ada.execute(SAY, ["1"])
    insert(ada, 3)
    ada.execute("ROLLBACK")
    insert(eve, 4)
    ada.execute("BEGIN")
    ada.execute(SAY, ["1"])
    insert(ada, 5)
    # In the middle of it the application is gone.
    ada.close()
    insert(eve, 6)
    assert actors() == [None, None, None, None]


def test_what_a_session_keeps_would_be_seen_here(pooled: Pooler) -> None:
    """Why nothing is ever set for the session; and that these tests would notice."""
    ada, eve = pooled.client(), pooled.client()
    ada.execute("SELECT set_config('custody.context', '{\"actor\": \"app:ada\"}', false)")
    insert(eve, 1)
    ada.execute("RESET custody.context")
    insert(eve, 2)
    assert actors() == ["app:ada", None]


def test_what_the_console_says_ends_with_its_transaction_too(pooled: Pooler) -> None:
    eve = pooled.client()
    with through(pooled):
        for number in range(0, 20, 4):
            with acting(actor="console:ada"):
                run("SELECT 1 FROM app.thing")
                insert(eve, number)
                run("INSERT INTO app.thing VALUES (%s)", number + 1)
                with transaction.atomic():
                    run("INSERT INTO app.thing VALUES (%s)", number + 2)
            insert(eve, number + 3)
        assert (server_of(eve),) == run("SELECT pg_backend_pid()")
    claimed = "app:console:ada"
    assert actors() == [None, claimed, claimed, None] * 5


@contextmanager
def through(pooled: Pooler) -> Iterator[None]:
    """Within, Django's own connection goes to the pooler."""
    direct = connection.settings_dict
    connection.close()
    connection.settings_dict = {
        **direct,
        "HOST": str(pooled.folder),
        "PORT": "6432",
        "NAME": "pooled",
        "USER": "anybody",
        "OPTIONS": {**direct["OPTIONS"], "prepare_threshold": None},
    }
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict = direct


def run(statement: str, *parameters: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone() if cursor.description else None

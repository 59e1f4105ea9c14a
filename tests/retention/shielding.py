"""A shop with soft delete, and the application that uses it under a role of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.db.utils import DatabaseError

from retention.models import Deletion

from .softdeleting import enable

Execute = Callable[..., list[tuple[Any, ...]]]

TABLES = """
CREATE TABLE app.users (id int PRIMARY KEY, name text,
    boss int REFERENCES app.users ON DELETE SET NULL);
CREATE TABLE app.orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id int REFERENCES app.users ON DELETE CASCADE, note text,
    shout text GENERATED ALWAYS AS (upper(note)) STORED);
CREATE TABLE app.lines (id int PRIMARY KEY, order_id int REFERENCES app.orders ON DELETE CASCADE);
CREATE TABLE app.tickets (id int PRIMARY KEY, user_id int REFERENCES app.users);
INSERT INTO app.users VALUES (1, 'ada', NULL), (2, 'bob', 1), (3, 'eve', NULL);
INSERT INTO app.orders (user_id, note) VALUES (1, 'a'), (1, 'b'), (2, 'c');
INSERT INTO app.lines VALUES (1, 1), (2, 1), (3, 2), (4, 3);
INSERT INTO app.tickets VALUES (1, 3);
"""


def shop_made(execute: Execute, **terms: Any) -> None:
    execute(TABLES)
    for name in ("lines", "orders", "users"):
        enable(name, **terms)


def refused(execute: Execute, statement: str, *parameters: Any) -> psycopg.Error:
    """The error with which PostgreSQL refuses a statement, whose work is undone."""
    with pytest.raises(DatabaseError) as told, transaction.atomic():
        execute(statement, list(parameters) or None)
    assert isinstance(told.value.__cause__, psycopg.Error)
    return told.value.__cause__


def state(execute: Execute, table: str, columns: str = "id") -> tuple[list[Any], list[Any]]:
    """What of `app.table` is active, and what is in the bin."""
    found = execute(f"SELECT deleted_at IS NULL, {columns} FROM app.{table} ORDER BY 2")
    rows = [(row[0], row[1] if len(row) == 2 else row[1:]) for row in found]
    return [row for here, row in rows if here], [row for here, row in rows if not here]


def deletion() -> Deletion:
    return Deletion.objects.get()


def rowcount(statement: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return int(cursor.rowcount)

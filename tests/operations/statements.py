"""Plain SQL for the tests of what PostgreSQL knows and does; an error spoils no transaction."""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction


def execute(*statements: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def fetch(statement: Any, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def is_superuser() -> bool:
    return bool(
        fetch("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")[0][0]
    )

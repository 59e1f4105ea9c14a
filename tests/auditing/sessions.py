"""Sessions beside the console's: the governed application's, which is no member of its role."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection

from config.embedded import cluster

APPLICATION = "custody_test_application"


def session(user: str | None = None, **changes: Any) -> psycopg.Connection:
    """A connection of its own to the test's database, by default as the console's role."""
    parameters = connection.get_connection_params()
    for django_only in ("cursor_factory", "context"):
        parameters.pop(django_only, None)
    if user:
        parameters["user"] = user
    return psycopg.connect(**{**parameters, "autocommit": True, **changes})


def _administrator() -> psycopg.Connection:
    """Who may make roles: this session, else the owner of the embedded server."""
    own = session()
    if own.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()[0]:  # type: ignore[index]
        return own
    own.close()
    try:
        return session(cluster.OWNER)
    except psycopg.OperationalError:
        pytest.skip("nobody here may make a role for the application")


def role_made(name: str = APPLICATION, attributes: str = "") -> None:
    """The role, which may use what is public in the schema custody, as `roles_sql` prints it."""
    with closing(_administrator()) as administrator:
        # Roles belong to the server, and other processes test on it too.
        administrator.execute(
            f"""
            DO $$ BEGIN
                CREATE ROLE {name} LOGIN {attributes};
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END $$
            """
        )
    with connection.cursor() as cursor:
        cursor.execute(f"GRANT USAGE ON SCHEMA custody TO {name}")


@contextmanager
def application_session(
    name: str = APPLICATION, attributes: str = ""
) -> Iterator[psycopg.Connection]:
    role_made(name, attributes)
    with closing(session(name)) as made:
        yield made

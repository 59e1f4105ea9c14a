"""A table of an application whose changes are captured as plainly as can be: to see contexts by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from auditing.models import ChangeContext

_MAKE = """
DROP SCHEMA IF EXISTS app CASCADE;
CREATE SCHEMA app;
CREATE TABLE app.thing (id bigint PRIMARY KEY, name text);
CREATE TABLE app.seen (
    number bigint GENERATED ALWAYS AS IDENTITY, op text, context bigint, xid bigint
);
-- As the capture of a tracked table does it.
CREATE FUNCTION app.capture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    said text := current_setting('custody.context', true);
    context text := current_setting('custody.context_id', true);
BEGIN
    IF coalesce(context, '') = '' AND said <> '' THEN
        context := custody.audit_context(said);
        PERFORM set_config('custody.context_id', context, true);
    END IF;
    INSERT INTO app.seen (op, context, xid)
    VALUES (TG_OP, nullif(context, '')::bigint, pg_current_xact_id()::text::bigint);
    RETURN NULL;
END
$$;
CREATE TRIGGER capture AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON app.thing
FOR EACH STATEMENT EXECUTE FUNCTION app.capture();
"""


@contextmanager
def captured_table(*roles: str) -> Iterator[None]:
    """`app.thing (id, name)`, which `roles` may change; what is captured of it is in `seen()`."""
    with connection.cursor() as cursor:
        cursor.execute(_MAKE)
        for role in roles:
            cursor.execute(f"GRANT USAGE ON SCHEMA app TO {role}")
            cursor.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON app.thing TO {role}")
    yield
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA app CASCADE")


def seen() -> list[tuple[str, ChangeContext | None]]:
    """Each statement's operation and context, in the order in which they were made."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT op, context, xid FROM app.seen ORDER BY number")
        rows = cursor.fetchall()
    contexts = ChangeContext.objects.in_bulk()
    for _, context, xid in rows:
        assert context is None or contexts[context].xid == xid
    return [(op, contexts.get(context)) for op, context, _ in rows]


def reasons() -> list[str | None]:
    """Of what was captured; None where there is no context."""
    return [context.reason if context else None for _, context in seen()]


class Sent(CaptureQueriesContext):
    """How often, within it, the database was told who acts."""

    def __init__(self) -> None:
        super().__init__(connection)

    @property
    def times(self) -> int:
        return sum("'custody.context'" in query["sql"] for query in self.captured_queries)


def run(statement: Any, parameters: Any = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def insert(number: int, name: str = "") -> None:
    run("INSERT INTO app.thing VALUES (%s, %s)", [number, name])


@contextmanager
def rolled_back() -> Iterator[None]:
    """A transaction or savepoint that is undone at its end."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)

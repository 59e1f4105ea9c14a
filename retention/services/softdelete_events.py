"""The event triggers by which the active view gives way to a change of its table and comes back.

Creating one takes a superuser, or what a managed server has instead. Without them a migration calls
`custody.active_view_drop` and `custody.active_view_make`.

Source: PostgreSQL's manual, chapter 38 "Event Triggers".
"""

from __future__ import annotations

import psycopg
from django.db import DatabaseError, connections, transaction
from psycopg import sql

EVENT_TRIGGERS = ("custody_softdelete_start", "custody_softdelete_end")

_STAND = """
SELECT count(*) FROM pg_catalog.pg_event_trigger e
WHERE e.evtname IN ('custody_softdelete_start', 'custody_softdelete_end')
  AND e.evtenabled IN ('O', 'A')
  AND e.evtfoid IN ('custody.softdelete_ddl_start()'::pg_catalog.regprocedure,
                    'custody.softdelete_ddl_end()'::pg_catalog.regprocedure)
"""
_CREATE = (
    "DROP EVENT TRIGGER IF EXISTS custody_softdelete_start",
    "DROP EVENT TRIGGER IF EXISTS custody_softdelete_end",
    """
    CREATE EVENT TRIGGER custody_softdelete_start ON ddl_command_start
    WHEN TAG IN ('ALTER TABLE', 'DROP TABLE')
    EXECUTE FUNCTION custody.softdelete_ddl_start()
    """,
    """
    CREATE EVENT TRIGGER custody_softdelete_end ON ddl_command_end
    WHEN TAG IN ('ALTER TABLE', 'DROP TABLE', 'CREATE TABLE', 'ALTER SCHEMA', 'DROP TYPE',
                 'DROP DOMAIN', 'DROP EXTENSION', 'DROP SCHEMA', 'DROP OWNED', 'DROP FUNCTION')
    EXECUTE FUNCTION custody.softdelete_ddl_end()
    """,
)


def softdelete_events_stand(*, using: str) -> bool:
    """Whether the view of active rows follows its table by itself."""
    with connections[using].cursor() as cursor:
        cursor.execute(_STAND)
        return bool(cursor.fetchone()[0] == len(EVENT_TRIGGERS))


def softdelete_events_sure(*, using: str) -> bool:
    """Whether they stand, or this role is certainly able to make them. Changes nothing."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user"
        )
        return bool(cursor.fetchone()[0]) or softdelete_events_stand(using=using)


def softdelete_event_triggers_drop(*, using: str) -> None:
    """For when no table has soft delete any more; those of another role stay, and do nothing."""
    if not softdelete_events_stand(using=using):
        return
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            for name in EVENT_TRIGGERS:
                cursor.execute(sql.SQL("DROP EVENT TRIGGER {}").format(sql.Identifier(name)))
    except DatabaseError as error:
        if not isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
            raise


def softdelete_event_triggers(*, using: str) -> bool:
    """Makes the event triggers where this role may. Returns whether they are there."""
    if softdelete_events_stand(using=using):
        return True
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            for statement in _CREATE:
                cursor.execute(statement)
    except DatabaseError as error:
        if isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
            return False
        raise
    return True

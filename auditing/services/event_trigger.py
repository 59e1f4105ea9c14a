"""The event trigger that follows changed columns in the transaction that changes them.

Creating one takes a superuser, or what a managed server has instead. Without it the capture
functions look for changed columns themselves.

Source: PostgreSQL's manual, chapter 38 "Event Triggers".
"""

from __future__ import annotations

import psycopg
from django.db import DatabaseError, connections, transaction

EVENT_TRIGGER = "custody_audit_ddl"

_STANDS = """
SELECT FROM pg_catalog.pg_event_trigger e
WHERE e.evtname = 'custody_audit_ddl' AND e.evtenabled IN ('O', 'A')
  AND e.evtfoid = 'custody.audit_ddl()'::pg_catalog.regprocedure
"""
_CREATE = """
CREATE EVENT TRIGGER custody_audit_ddl ON ddl_command_end
WHEN TAG IN ('ALTER TABLE', 'CREATE TABLE', 'CREATE INDEX', 'DROP INDEX', 'DROP TYPE',
             'DROP DOMAIN', 'DROP EXTENSION', 'DROP SCHEMA', 'DROP OWNED', 'DROP FUNCTION')
EXECUTE FUNCTION custody.audit_ddl()
"""


def event_trigger_stands(*, using: str) -> bool:
    """Whether changes of columns are followed by the event trigger."""
    with connections[using].cursor() as cursor:
        cursor.execute(_STANDS)
        return cursor.fetchone() is not None


def event_trigger_ensure(*, using: str) -> bool:
    """Makes the event trigger where this role may. Returns whether there is one."""
    if event_trigger_stands(using=using):
        return True
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            cursor.execute("DROP EVENT TRIGGER IF EXISTS custody_audit_ddl")
            cursor.execute(_CREATE)
    except DatabaseError as error:
        if isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
            return False
        raise
    return True

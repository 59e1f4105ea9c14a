"""Ending the audit of a table. Its history stays, with all its versions."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone
from psycopg import sql

from auditing.exceptions import NotTrackable
from auditing.models import AuditEvent, TrackedTable
from auditing.services.brief_lock import with_brief_lock
from auditing.services.events import event_add
from operations.catalogue.identifiers import Identifier

_TRIGGERS = """
SELECT n.nspname, c.relname, g.tgname, pg_catalog.pg_has_role(current_user, c.relowner, 'USAGE')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_trigger g ON g.tgrelid = c.oid AND g.tgname LIKE 'custody\\_audit\\_%%'
WHERE (c.oid = %(oid)s::pg_catalog.oid
       OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(%(oid)s::pg_catalog.oid)))
  -- A partition's copy of its root's row trigger goes with that one.
  AND g.tgparentid = 0
ORDER BY 1, 2, 3
"""


def table_untrack(tracked: TrackedTable, *, actor: User, reason: str) -> TrackedTable:
    """Takes the triggers from the table; from its return on no change has a version.

    Raises:
        NotTrackable: only the table's owner may take triggers from it; names the statements.
        TableBusy: a transaction that uses the table did not end in time.
    """
    return with_brief_lock(
        lambda: _untrack(tracked, actor=actor, reason=reason),
        what=str(tracked),
        using=tracked.database,
    )


def _untrack(tracked: TrackedTable, *, actor: User, reason: str) -> TrackedTable:
    with connections[tracked.database].cursor() as cursor:
        cursor.execute(_TRIGGERS, {"oid": tracked.table_oid})
        found = cursor.fetchall()
        drops = [
            sql.SQL("DROP TRIGGER {} ON {}").format(Identifier(trigger), Identifier(schema, name))
            for schema, name, trigger, _ in found
        ]
        if not all(owned for *_, owned in found):
            statements = "; ".join(drop.as_string(cursor.connection) for drop in drops)
            raise NotTrackable(
                f"Only the owner of {tracked} may take triggers from it. As that role: "
                f"{statements}; then run this again."
            )
        for drop in drops:
            cursor.execute(drop)
    tracked.untracked_at = timezone.now()
    tracked.baseline_seq = None
    tracked.save(update_fields=["untracked_at", "baseline_seq"])
    event_add(AuditEvent.Kind.UNTRACK, tracked, actor=actor, reason=reason)
    return tracked

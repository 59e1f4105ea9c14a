"""What counted at a moment: a change whose transaction had committed by then.

A version carries the time of its change; a long transaction commits later. Which transactions were
open at a moment, two indexes tell: those that lasted a minute at most committed within a minute of
it, and of the longer ones there are few.
"""

from __future__ import annotations

from datetime import datetime

from django.db import connections
from psycopg import sql

_OPEN = "SELECT xid FROM custody.audit_open_at(%s) AS xid"


def open_at(moment: datetime, *, using: str) -> list[int]:
    """The transactions that had changed something by then and committed only later."""
    with connections[using].cursor() as cursor:
        cursor.execute(_OPEN, [moment])
        return [xid for (xid,) in cursor.fetchall()]


def counts_at(moment: datetime, *, using: str, alias: str = "h") -> sql.Composable:
    """The history row of `alias` counted at the moment."""
    before = sql.SQL("{} <= {}").format(sql.Identifier(alias, "at"), sql.Literal(moment))
    pending = open_at(moment, using=using)
    if not pending:
        return before
    # An image of the baseline was true before the change that wrote it down.
    return sql.SQL("{} AND ({} <> ALL ({}) OR {} = 'B')").format(
        before, sql.Identifier(alias, "xid"), sql.Literal(pending), sql.Identifier(alias, "op")
    )

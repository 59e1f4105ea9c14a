"""Rows that went without a DELETE, with the partition that they were in: their versions go too."""

from __future__ import annotations

from django.db import connections
from psycopg import sql

from auditing.models import TrackedTable
from auditing.services.history_carry import history_lock
from operations.batches.walk import Window, window_predicate
from operations.catalogue.types import Table


def history_forget(tracked: TrackedTable, window: Window, *, table: Table, using: str) -> int:
    """Deletes every version, and every note, of the keys of the rows in the window.

    In the transaction under way. Returns how many versions went. None of a key that is no longer
    told apart, because its columns are gone.

    Args:
        window: pages of a detached partition, to which nobody writes any more.
        table: what it was a partition of.
    """
    history_lock(tracked, shared=True, using=using)
    with connections[using].cursor() as cursor:
        # Composed by the database of its own catalogue's names, as for the capture.
        cursor.execute(
            "SELECT custody.audit_same_key(%s, 'o'), custody.audit_record_id(%s, 'o')",
            [tracked.pk, tracked.pk],
        )
        same, record_id = cursor.fetchone()
        if same is None:
            return 0
        rows = sql.SQL("(SELECT * FROM ONLY {} t WHERE {})").format(
            window.leaf.sql, window_predicate(window, table, alias="t")
        )
        cursor.execute(
            sql.SQL("DELETE FROM {} h USING {} o WHERE {}").format(
                tracked.history.sql, rows, _raw(same)
            )
        )
        count: int = cursor.rowcount
        cursor.execute(
            sql.SQL(
                "DELETE FROM custody.auditing_versionnote n USING {} o"
                " WHERE n.tracked_id = {} AND n.record_id = {}"
            ).format(rows, sql.Literal(tracked.pk), _raw(record_id))
        )
    return count


def _raw(text: str) -> sql.Composable:
    return sql.SQL(text)

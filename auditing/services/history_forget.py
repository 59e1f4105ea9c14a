"""Rows that went without a DELETE, with the partition that they were in: their versions go too.

Which ones those were, a `Removal` tells in the same transaction.
"""

from __future__ import annotations

from django.db import connections
from psycopg import sql

from auditing.models import Removal, TrackedTable
from auditing.services.history_carry import history_lock
from operations.batches.walk import Window, window_predicate
from operations.catalogue.types import Table

_FORGET = """
WITH gone AS (
    DELETE FROM {history} h USING {rows} o WHERE {same}
    RETURNING h.seq,
        CASE WHEN h.op = ANY ('{{B,C}}'::"char"[]) THEN custody.audit_tag({record}) END AS tag
)
INSERT INTO custody.auditing_removal (kind, tracked_id, run_id, at, numbers, images, versions)
SELECT {kind}, {tracked}, {run}, pg_catalog.clock_timestamp(),
    custody.audit_ranges(g.numbers), COALESCE(g.tags, '{{}}'), g.versions
FROM (
    SELECT range_agg(int8range(gone.seq, gone.seq, '[]')) FILTER (WHERE gone.tag IS NULL),
        array_agg(gone.tag) FILTER (WHERE gone.tag IS NOT NULL), count(*)
    FROM gone
) AS g (numbers, tags, versions)
WHERE g.versions > 0
RETURNING versions
"""


def history_forget(
    tracked: TrackedTable,
    window: Window,
    *,
    table: Table,
    using: str,
    run_id: int | None = None,
) -> int:
    """Deletes every version, and every note, of the keys of the rows in the window.

    In the transaction under way. Returns how many versions went. None of a key that is no longer
    told apart, because its columns are gone.

    Args:
        window: pages of a detached partition, to which nobody writes any more.
        table: what it was a partition of.
        run_id: of the run that does it.
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
            sql.SQL(_FORGET).format(
                history=tracked.history.sql,
                rows=rows,
                same=_raw(same),
                record=_raw(record_id),
                kind=sql.Literal(Removal.Kind.PURGED.value),
                tracked=sql.Literal(tracked.pk),
                run=sql.Literal(run_id),
            )
        )
        row = cursor.fetchone()
        count: int = row[0] if row else 0
        cursor.execute(
            sql.SQL(
                "DELETE FROM custody.auditing_versionnote n USING {} o"
                " WHERE n.tracked_id = {} AND n.record_id = {}"
            ).format(rows, sql.Literal(tracked.pk), _raw(record_id))
        )
    return count


def _raw(text: str) -> sql.Composable:
    return sql.SQL(text)

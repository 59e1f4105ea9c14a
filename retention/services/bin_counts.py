"""The state of deletions while their rows are destroyed, and how many rows they have left.

Invariants:
- Before the first row of a deletion is destroyed it is committed that it is being destroyed, under
  the lock of its row, which a restore takes first: so a restore is refused, or comes first.
- The counts of a deletion change in the transaction that destroys its rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.db import connections, transaction
from psycopg import sql

from operations.catalogue.types import TableName
from operations.models import Run
from operations.services.run_lease import lease_check
from retention.models import Deletion
from retention.selectors.softdelete_marks import DELETION
from retention.services.record_stage import Stage

_COUNT = """
UPDATE custody.retention_deletiontable AS d SET purged = d.purged + w.rows
FROM unnest(%s::bigint[], %s::bigint[]) AS w (deletion, rows)
WHERE d.deletion_id = w.deletion AND d.table_oid = %s
"""

_EMPTY = """
UPDATE custody.retention_deletion AS u SET state = 'purged'
FROM (SELECT d.id FROM custody.retention_deletion AS d
      WHERE d.state = 'deleted'
        AND EXISTS (SELECT FROM custody.retention_deletiontable AS t
                    WHERE t.deletion_id = d.id AND t.purged > 0)
        AND NOT EXISTS (SELECT FROM custody.retention_deletiontable AS t
                        WHERE t.deletion_id = d.id
                          AND t.deleted - t.restored - t.moved - t.purged > 0)
      ORDER BY d.id FOR UPDATE OF d SKIP LOCKED) AS e
WHERE u.id = e.id
"""

_LEFT = """
UPDATE custody.retention_deletion AS d
SET state = CASE WHEN {left} THEN 'deleted' ELSE 'purged' END
WHERE d.id = ANY (%s) AND d.state = 'purging' AND d.run_id = %s
"""
_COUNTED = """EXISTS (
    SELECT FROM custody.retention_deletiontable AS t
    WHERE t.deletion_id = d.id AND t.deleted - t.restored - t.moved - t.purged > 0)"""


def deletions_begin(ids: Collection[int], *, run_id: int, fence: int, using: str) -> set[int]:
    """From now on they are being destroyed by the run. Returns those that can be: the others were
    restored meanwhile, or somebody is about to.

    Raises LeaseLost: this worker's run is another's.
    """
    with transaction.atomic(using=using):
        lease_check(run_id=run_id, fence=fence)
        # Nothing is waited for under the run's lock.
        found = Deletion.objects.select_for_update(skip_locked=True).filter(pk__in=ids)
        begun = set()
        for each in found.order_by("pk"):
            if each.current is Deletion.State.DELETED:
                each.state, each.run_id = Deletion.State.PURGING, run_id
                each.save(update_fields=["state", "run_id"])
            if each.current is Deletion.State.PURGING and each.run_id == run_id:
                begun.add(each.pk)
        return begun


def deletions_lock(ids: Collection[int], *, run_id: int) -> bool:
    """Locks them. Whether the run destroys all of them still."""
    found = Deletion.objects.select_for_update().filter(
        pk__in=ids, state=Deletion.State.PURGING, run_id=run_id
    )
    return len(found) == len(ids)


def deletions_end(
    ids: Iterable[int], *, tables: Sequence[TableName] = (), run_id: int, using: str
) -> None:
    """The run is done with them: they are destroyed, or what is left of them is in the bin.

    Args:
        tables: all that such deletions have rows in: what is left is looked up there, as somebody
            may have deleted rows of the bin by himself. Without them the counts tell.
    """
    left: sql.Composable = sql.SQL(_COUNTED)
    if tables:
        left = sql.SQL(" OR ").join(
            sql.SQL("EXISTS (SELECT FROM {} AS t WHERE t.{} = d.id)").format(
                name.sql, sql.Identifier(DELETION)
            )
            for name in tables
        )
    _execute(sql.SQL(_LEFT).format(left=left), [list(ids), run_id], using)


def deletions_end_all(run: Run) -> None:
    """The same, with all that it began. In the run's last transaction."""
    ids = Deletion.objects.filter(state=Deletion.State.PURGING, run=run).values_list(
        "pk", flat=True
    )
    deletions_end(ids, run_id=run.pk, using=run.database)


def rows_purged(staged: Stage) -> None:
    """Counts the staged rows, which are deleted now, with their deletions."""
    for number in staged.marked:
        counts = staged.ask(
            sql.SQL(
                "SELECT {deletion}, count(*) FROM {stage} WHERE {deletion} IS NOT NULL"
                " GROUP BY 1 ORDER BY 1"
            ).format(stage=staged.name(number), deletion=sql.Identifier(DELETION))
        )
        if counts:
            oid = staged.graph.tables[number].oid
            marks_purged(dict(counts), table_oid=oid, using=staged.using)


def marks_counted(table: TableName, *, using: str) -> dict[int, int]:
    """How many rows of a table, which is to be dropped, each deletion has."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "SELECT {deletion}, count(*) FROM {table} WHERE {deletion} IS NOT NULL GROUP BY 1"
            ).format(table=table.sql, deletion=sql.Identifier(DELETION))
        )
        return dict(cursor.fetchall())


def marks_purged(counts: Mapping[int, int], *, table_oid: int, using: str) -> None:
    """They are gone with it."""
    if counts:
        _execute(_COUNT, [list(counts), list(counts.values()), table_oid], using)


def deletions_emptied(*, using: str) -> None:
    """Deletions whose last rows reached the end of their own term are destroyed.

    Never in a transaction that locked governed rows: a restore locks a deletion before its rows.
    One that is locked is left for the next time.
    """
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute(_EMPTY)


def _execute(statement: str | sql.Composable, parameters: list[Any], using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(statement, parameters)

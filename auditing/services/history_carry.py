"""Before a partition of a history goes, what its rows last were is carried into the next one.

Invariants:
- After it, every moment from the partition's end on shows the same rows without the partition as
  with it: a row that was not changed since keeps a version.
- It can be interrupted anywhere and done again: what has been carried is not carried twice.
- A purge that takes a row's versions away, and this, never run at once on one history: whatever is
  carried, a purge that comes later finds.
- What is carried has its `Removal` in the same transaction, which tells the sealer of it.
"""

from __future__ import annotations

from django.db import connections
from psycopg import sql

from auditing.models import HistoryColumn, Removal, TrackedColumn, TrackedTable
from auditing.selectors.sealed_rows import record_text
from operations.batches.walk import Window, window_predicate
from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Table

LOCK = 0x6375_7374
"""First number of the advisory lock on one history; the second is its tracked table's."""
_ENDED = ("D", "T", "R")
_SHARED = "SELECT pg_catalog.pg_advisory_xact_lock_shared(%s, %s)"
_ALONE = "SELECT pg_catalog.pg_advisory_xact_lock(%s, %s)"
# All of them by both: several may have one number, and versions of one record several numbers.
_CARRY = """
WITH h AS ({insert} RETURNING *)
INSERT INTO custody.auditing_removal
    (kind, tracked_id, run_id, at, until, numbers, images, versions)
SELECT {kind}, {tracked}, {run}, pg_catalog.clock_timestamp(), {end}::timestamptz,
    custody.audit_ranges(c.numbers), c.tags, c.versions
FROM (
    SELECT range_agg(int8range(h.seq, h.seq, '[]')), array_agg(custody.audit_tag({record})),
        count(*)
    FROM h
) AS c (numbers, tags, versions)
WHERE c.versions > 0
RETURNING versions
"""


def history_lock(tracked: TrackedTable, *, shared: bool, using: str) -> None:
    """Until the transaction ends: shared by purges of its rows, alone for who carries forward."""
    with connections[using].cursor() as cursor:
        cursor.execute(_SHARED if shared else _ALONE, [LOCK, tracked.pk % 2**31])


def history_carry(
    tracked: TrackedTable,
    window: Window,
    *,
    history: Table,
    end: str,
    using: str,
    run_id: int | None = None,
) -> int:
    """Carries forward what is newest in its partition among the rows of the window.

    In the transaction under way, which should hold no other locks.

    Args:
        window: pages of one partition, to which nobody writes any more.
        end: of the partition, as PostgreSQL prints a timestamptz.
        run_id: of the run that does it.

    Returns how many were carried.
    """
    history_lock(tracked, shared=False, using=using)
    partition = window.leaf
    names = [column.name for column in history.columns]
    listed = sql.SQL(", ").join(map(Identifier, names))
    carried = {"op": sql.SQL("'C'"), "at": sql.Literal(end) + sql.SQL("::timestamptz")}
    values = sql.SQL(", ").join(carried.get(name, Identifier("t", name)) for name in names)
    insert = sql.SQL(
        "INSERT INTO {history} ({listed}) SELECT {values} FROM ONLY {partition} t"
        ' WHERE {window} AND t.op <> ALL (%s::"char"[])'
        # Of two images of one number, which are the same, one.
        " AND NOT EXISTS (SELECT FROM ONLY {partition} h WHERE {same}"
        " AND (h.seq, h.ctid) > (t.seq, t.ctid))"
        " AND NOT EXISTS (SELECT FROM {history} h WHERE {same}"
        " AND h.seq = t.seq AND h.op = 'C' AND h.at = {end}::timestamptz)"
    ).format(
        history=history.name.sql,
        listed=listed,
        values=values,
        partition=partition.sql,
        window=window_predicate(window, history, alias="t"),
        same=_same_key(tracked, window, using),
        end=sql.Literal(end),
    )
    statement = sql.SQL(_CARRY).format(
        insert=insert,
        kind=sql.Literal(Removal.Kind.CARRIED.value),
        tracked=sql.Literal(tracked.pk),
        run=sql.Literal(run_id),
        end=sql.Literal(end),
        record=record_text(tracked),
    )
    with connections[using].cursor() as cursor:
        cursor.execute(statement, [list(_ENDED)])
        row = cursor.fetchone()
    return row[0] if row else 0


def _same_key(tracked: TrackedTable, window: Window, using: str) -> sql.Composable:
    """That `h` and `t` are versions of one key.

    A column of the key whose type was changed has its values in several columns, or in `rest` while
    there was none yet: then they are compared as text, which no index serves.
    """
    attnums = (
        TrackedColumn.objects.using(using)
        .filter(tracked=tracked, key_position__isnull=False)
        .order_by("key_position")
        .values_list("attnum", flat=True)
    )
    parts = []
    for attnum in attnums:
        columns = list(
            HistoryColumn.objects.using(using)
            .filter(tracked=tracked, attnum=attnum)
            .order_by("-id")
            .values_list("name", flat=True)
        )
        if len(columns) == 1 and not _has_nulls(window, columns[0], using):
            [name] = columns
            parts.append(sql.SQL("{} = {}").format(Identifier("h", name), Identifier("t", name)))
        else:
            parts.append(
                sql.SQL("{} IS NOT DISTINCT FROM {}").format(
                    _text("h", columns, attnum), _text("t", columns, attnum)
                )
            )
    return sql.SQL(" AND ").join(parts)


def _has_nulls(window: Window, column: str, using: str) -> bool:
    query = sql.SQL("SELECT EXISTS (SELECT FROM ONLY {} t WHERE {} IS NULL)").format(
        window.leaf.sql, Identifier("t", column)
    )
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        return bool(cursor.fetchone()[0])


def _text(alias: str, columns: list[str], attnum: int) -> sql.Composable:
    values = [sql.SQL("{}::text").format(Identifier(alias, name)) for name in columns]
    rest = sql.SQL("{} ->> {}").format(Identifier(alias, "rest"), sql.Literal(str(attnum)))
    return sql.SQL("COALESCE({})").format(sql.SQL(", ").join([*values, rest]))

"""The columns of a restored table have other numbers: a dump leaves out what was dropped.

The history's own columns keep their names, which are sealed; only the registry tells which of the
table's columns is kept in which. A value that was kept aside stands in the sealed `rest` under its
old number: then the registry cannot follow.
"""

from __future__ import annotations

from django.db import connections
from psycopg import sql

from auditing.models import HistoryColumn, Layout, TrackedColumn, TrackedTable
from auditing.selectors.images import history_exists

FORMER = 2_000
"""Above it are the numbers of columns that are no more: a table has 1,600 at most."""
_ASIDE = 10_000
_LIVE = """
SELECT a.attname::text, a.attnum FROM pg_catalog.pg_attribute a
JOIN custody.auditing_trackedtable t ON a.attrelid = t.table_oid::pg_catalog.oid
WHERE t.id = %s AND a.attnum > 0 AND NOT a.attisdropped
"""
# By a detour, because each number is there once.
_TO = """
UPDATE custody.{} c SET attnum = m.new + %s
FROM unnest(%s::int[], %s::int[]) AS m (old, new)
WHERE c.tracked_id = %s AND c.attnum = m.old
"""
_FROM = "UPDATE custody.{} c SET attnum = c.attnum - %s WHERE c.tracked_id = %s AND c.attnum > %s"


class NotRemapped(Exception):
    """Which column is which cannot be told any more."""


def attnums_follow(tracked: TrackedTable, *, using: str) -> bool:
    """The registry has the numbers that the table's columns have now; whether any changed.

    In the transaction under way, in which nobody captures.

    Raises:
        NotRemapped: a column has another name too, or a value is kept aside under a number that
            changed. Nothing was changed.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(_LIVE, [tracked.pk])
        live: dict[str, int] = dict(cursor.fetchall())
    columns = TrackedColumn.objects.using(using).filter(tracked=tracked)
    known = {column.name: column.attnum for column in columns if column.dropped_at is None}
    if not known.keys() <= live.keys():
        # Renamed since it was last looked at, or dropped.
        if columns.exclude(dropped_at=None).exists() or not _same_numbers(known, live):
            raise NotRemapped
        return False
    moved = {known[name]: live[name] for name in known if known[name] != live[name]}
    for number in _numbers(tracked, using) - set(known.values()):
        if number < FORMER:
            moved[number] = number + FORMER
    if not moved:
        return False
    if _kept_aside(tracked, moved, using):
        raise NotRemapped
    _move(tracked, moved, using)
    return True


def _same_numbers(known: dict[str, int], live: dict[str, int]) -> bool:
    return set(known.values()) <= set(live.values())


def _numbers(tracked: TrackedTable, using: str) -> set[int]:
    """Every number that the registry has ever had."""
    found: set[int] = set()
    for model in (TrackedColumn, HistoryColumn):
        found.update(
            model.objects.using(using).filter(tracked=tracked).values_list("attnum", flat=True)
        )
    for layout in Layout.objects.using(using).filter(tracked=tracked):
        found.update(layout.attnums)
    return found


def _kept_aside(tracked: TrackedTable, moved: dict[int, int], using: str) -> bool:
    if not history_exists(tracked):
        return False
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} h WHERE h.rest ?| %s::text[])").format(
        tracked.history.sql
    )
    with connections[using].cursor() as cursor:
        cursor.execute(query, [[str(number) for number in moved]])
        return bool(cursor.fetchone()[0])


def _move(tracked: TrackedTable, moved: dict[int, int], using: str) -> None:
    old, new = list(moved), list(moved.values())
    with connections[using].cursor() as cursor:
        for table in ("auditing_trackedcolumn", "auditing_historycolumn"):
            named = sql.Identifier(table)
            cursor.execute(sql.SQL(_TO).format(named), [_ASIDE, old, new, tracked.pk])
            cursor.execute(sql.SQL(_FROM).format(named), [_ASIDE, tracked.pk, _ASIDE])
        cursor.execute(
            "UPDATE custody.auditing_layout l SET attnums = ARRAY("
            " SELECT COALESCE(m.new, a.number)::smallint"
            " FROM unnest(l.attnums) WITH ORDINALITY AS a (number, place)"
            " LEFT JOIN unnest(%s::int[], %s::int[]) AS m (old, new) ON m.old = a.number"
            " ORDER BY a.place) WHERE l.tracked_id = %s",
            [old, new, tracked.pk],
        )

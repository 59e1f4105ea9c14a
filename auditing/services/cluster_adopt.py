"""A log that was dumped and restored goes on: its numbers keep rising, its tables are found again.

Invariants:
- A number that was ever used for a transaction in the log is never used again for another one:
  what the cluster counts is raised above everything known, in one step with noting the cluster.
- Nothing that is summarised or sealed is changed. What was captured between the restore and now got
  the cluster's own low numbers: only those rows get the number that they should have.
- Each table is one transaction; whoever is killed, the next caller goes on with those left.

Source: PostgreSQL's manual, "pg_dump", and 9.27.11 on transaction ids.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.db import connections, transaction
from django.db.models import F
from psycopg import sql

from auditing.models import AuditEvent, Handling, SealSection, TrackedColumn, TrackedTable
from auditing.services.attnums import NotRemapped, attnums_follow
from auditing.services.brief_lock import with_brief_lock
from auditing.services.events import event_add
from auditing.services.sync import table_sync
from auditing.services.track import TrackTerms, table_track
from auditing.services.untrack import table_untrack
from operations.catalogue.types import TableName
from operations.exceptions import CustodyError
from operations.services.actors import system_user

LOCK = 0x6375_7374_0006
"""Of the advisory lock under which the numbers are raised."""
SPAN = 2**32
"""Each cluster's numbers begin at a multiple of it, far above those that are under way."""
GONE = 2**32 - 1
"""Less the tracked table's key: the oid of a table that was not restored."""
_REASON = "The database was restored."
log = logging.getLogger(__name__)

_STANDS = """
SELECT n.cluster, custody.audit_cluster(), n.pending, n.xid_offset, n.before
FROM custody.auditing_numbering AS n
"""
# Numbers above those of the last summary are only looked for where the index has them.
_KNOWN = """
SELECT GREATEST(
    custody.audit_xid(),
    (SELECT max(x) FROM custody.auditing_summaryposition AS p
     CROSS JOIN unnest(ARRAY[NULLIF(p.snapshot, ''), NULLIF(p.target, '')]) AS s
     CROSS JOIN LATERAL CAST(pg_snapshot_xmax(s::pg_snapshot)::text AS bigint) AS x),
    (SELECT max(x) FROM custody.auditing_sealposition AS p
     CROSS JOIN unnest(ARRAY[NULLIF(p.snapshot, ''), NULLIF(p.target, '')]) AS s
     CROSS JOIN LATERAL CAST(pg_snapshot_xmax(s::pg_snapshot)::text AS bigint) AS x),
    (SELECT max(xid) FROM custody.auditing_changetransaction),
    (SELECT max(xid) FROM custody.auditing_changecontext),
    (SELECT max(xid) FROM custody.auditing_auditevent),
    (SELECT max(xid) FROM custody.auditing_removal),
    (SELECT max(xid) FROM custody.auditing_redactedvalue),
    0), custody.audit_xid()
"""
_NOTE = """
UPDATE custody.auditing_numbering
SET cluster = custody.audit_cluster(), before = %s, xid_offset = %s, pending = %s
"""
_FIND = """
UPDATE custody.auditing_trackedtable AS t SET table_oid = f.oid::bigint
FROM custody.auditing_trackedtable AS x
CROSS JOIN LATERAL custody.audit_table_of(x.id) AS f (oid)
WHERE x.id = t.id AND t.untracked_at IS NULL AND f.oid IS NOT NULL
"""
_NUMBERED = """
SELECT COALESCE(max(CASE WHEN target <> '' THEN target_numbered ELSE numbered END), 0)
FROM custody.auditing_summaryposition
"""
# Who wrote a row stands in it: a restored one was written by whoever restored it.
_OWN = "h.xid <= {offset} AND (h.xid - {before}) % 4294967296 = h.xmin::text::bigint"
_RAISE = """
WITH raised AS (
    UPDATE {history} AS h SET xid = h.xid + {raised}
    WHERE h.statement > {numbered} AND {own}
    RETURNING h.context, h.xid
)
UPDATE custody.auditing_changecontext AS c SET xid = r.xid
FROM (SELECT DISTINCT context, xid FROM raised WHERE context IS NOT NULL) AS r
WHERE c.id = r.context AND c.xid = r.xid - {raised}
"""
_RAISE_OWN = "UPDATE {table} AS h SET xid = h.xid + {raised} WHERE h.id > {sealed} AND {own}"
_OWN_TABLES = ("auditing_auditevent", "auditing_removal", "auditing_redactedvalue")


@dataclass(frozen=True)
class Adopted:
    """What one call did; mostly nothing."""

    complete: bool
    """The log's numbers and tables are this cluster's: false while a table is still to be found."""
    tables: tuple[str, ...] = ()
    """That were found again."""
    gone: tuple[str, ...] = ()
    """That were not restored."""
    begun_anew: tuple[str, ...] = ()
    """Whose columns could not be told apart: their history ended, and another one began."""
    failures: tuple[str, ...] = ()


@dataclass
class _Done:
    tables: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    begun_anew: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Numbers:
    offset: int
    before: int
    pending: list[int]


def cluster_adopt(*, using: str = "default") -> Adopted:
    """Makes the log this cluster's if it was restored into it since the last call.

    Not to be called in a transaction, unless there is nothing to do.
    """
    numbers = _begun(using)
    if numbers is None:
        return Adopted(complete=True)
    done, actor = _Done(), system_user("audit-watch")
    for pk in numbers.pending:
        tracked = TrackedTable.objects.using(using).get(pk=pk)
        try:
            _table(tracked, numbers, actor, done)
        except CustodyError as error:
            log.warning("%s could not be found again: %s", tracked, error)
            done.failures.append(f"{tracked}: {error}")
    complete = not done.failures and _ended(numbers, using)
    return Adopted(
        complete,
        tuple(done.tables),
        tuple(done.gone),
        tuple(done.begun_anew),
        tuple(done.failures),
    )


def _begun(using: str) -> _Numbers | None:
    """What is left to do; None: nothing. Raises the numbers when nobody has yet."""
    was, now, pending, offset, before = _ask(using, _STANDS)
    if was == now and not pending:
        return None
    if was == now:
        return _Numbers(offset, before, [pk for pk in pending if pk])
    with transaction.atomic(using=using, durable=True), connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_catalog.pg_advisory_xact_lock(%s)", [LOCK])
        was, now, pending, offset, before = _ask(using, _STANDS)
        if was == now:
            return _Numbers(offset, before, [pk for pk in pending if pk]) if pending else None
        known, own = _ask(using, _KNOWN)
        known = max(known, _last_written(using))
        here, there = was.split(":"), now.split(":")
        if not was or (here[2:] == there[2:] and known <= own):
            # The same tables: copied with the cluster, or pg_upgrade did it.
            cursor.execute(_NOTE, [before, offset, []])
            return None
        raised = offset
        if here[0] != there[0] or known > own:
            raised = (known // SPAN + 1) * SPAN
        left = list(TrackedTable.objects.using(using).order_by("id").values_list("pk", flat=True))
        # No oid of before stands in the way of one of now.
        tables = TrackedTable.objects.using(using)
        tables.update(table_oid=GONE - F("pk"))
        cursor.execute(_FIND)
        # The zero stands for our own tables.
        cursor.execute(_NOTE, [offset, raised, [*left, 0]])
        return _Numbers(raised, offset, left)


def _last_written(using: str) -> int:
    """The greatest number in any history, as far as no summary tells it."""
    [last] = _ask(
        using,
        "SELECT COALESCE(max(pg_snapshot_xmin(NULLIF(snapshot, '')::pg_snapshot)::text::bigint), 0)"
        " FROM custody.auditing_summaryposition",
    )
    most = last
    with connections[using].cursor() as cursor:
        for tracked in TrackedTable.objects.using(using):
            cursor.execute("SELECT to_regclass(%s) IS NULL", [str(tracked.history)])
            if cursor.fetchone()[0]:
                continue
            cursor.execute(
                sql.SQL("SELECT max(xid) FROM {} WHERE xid > %s").format(tracked.history.sql),
                [most],
            )
            most = cursor.fetchone()[0] or most
    return int(most)


def _table(tracked: TrackedTable, numbers: _Numbers, actor: User, done: _Done) -> None:
    active = tracked.untracked_at is None
    found = with_brief_lock(
        lambda: _found(tracked, numbers, actor), what=str(tracked), using=tracked.database
    )
    if not active or found == "others":
        return
    told = {"found": done.tables, "gone": done.gone, "unclear": done.begun_anew}
    told[found].append(str(tracked))
    if found == "found":
        tracked.refresh_from_db()
        table_sync(tracked, actor=actor, reason=_REASON)


def _found(tracked: TrackedTable, numbers: _Numbers, actor: User) -> str:
    """In the transaction under way: "found", "gone", "unclear", or "others" have done it."""
    using, active = tracked.database, tracked.untracked_at is None
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pending FROM custody.auditing_numbering FOR UPDATE")
        if tracked.pk not in cursor.fetchone()[0]:
            return "others"
        _struck(tracked.pk, using)
        cursor.execute("SELECT custody.audit_table_of(%s)", [tracked.pk])
        [oid] = cursor.fetchone()
        if oid is None:
            return "gone"
        if active:
            # Who writes ends, and who comes next finds the new function.
            for table in _lockable(oid, using) or [tracked.history]:
                cursor.execute(
                    sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(table.sql)
                )
            _raise(tracked, numbers, using)
        _of_oid(tracked, oid)
        try:
            attnums_follow(tracked, using=using)
        except NotRemapped:
            if active:
                _anew(tracked, actor)
            _of_oid(tracked, GONE - tracked.pk)
            return "unclear"
        if active:
            cursor.execute("SELECT custody.capture_make(%s)", [tracked.pk])
            event_add(
                AuditEvent.Kind.SYNC,
                tracked,
                actor=actor,
                reason=_REASON,
                detail={"restored": True, "numbers_above": numbers.offset},
            )
    return "found"


def _of_oid(tracked: TrackedTable, oid: int) -> None:
    tracked.table_oid = oid
    tracked.save(update_fields=["table_oid"])


def _lockable(oid: int, using: str) -> list[TableName]:
    """The table, where this role may lock it."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.oid = %s::oid AND pg_catalog.has_table_privilege(c.oid, 'UPDATE, DELETE')",
            [oid],
        )
        return [TableName(*row) for row in cursor.fetchall()]


def _raise(tracked: TrackedTable, numbers: _Numbers, using: str) -> None:
    if numbers.offset == numbers.before:
        return
    [numbered] = _ask(using, _NUMBERED)
    with connections[using].cursor() as cursor:
        cursor.execute(
            sql.SQL(_RAISE).format(
                history=tracked.history.sql, numbered=sql.Literal(numbered), **_terms(numbers)
            )
        )


def _terms(numbers: _Numbers) -> dict[str, sql.Composable]:
    own = sql.SQL(_OWN).format(
        offset=sql.Literal(numbers.offset), before=sql.Literal(numbers.before)
    )
    return {"raised": sql.Literal(numbers.offset - numbers.before), "own": own}


def _anew(tracked: TrackedTable, actor: User) -> None:
    """Its audit ends, and begins again with another history and a baseline."""
    with connections[tracked.database].cursor() as cursor:
        cursor.execute(
            "SELECT n.nspname, c.relname,"
            " ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a"
            " WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)"
            " FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s::oid",
            [tracked.table_oid],
        )
        schema, name, columns = cursor.fetchone()
    known = [
        column
        for column in TrackedColumn.objects.filter(tracked=tracked, dropped_at=None)
        if column.name in columns
    ]
    some = any(not column.significant for column in known)
    terms = TrackTerms(
        exclude=tuple(c.name for c in known if c.handling == Handling.EXCLUDED),
        mask=tuple(c.name for c in known if c.handling == Handling.MASKED),
        significant=tuple(
            c.name for c in known if some and c.significant and c.handling != Handling.EXCLUDED
        ),
        reason_required=tracked.reason_required,
    )
    reason = f"{_REASON} Its columns have other numbers now, by which the history kept values."
    table_untrack(tracked, actor=actor, reason=reason)
    table_track(
        TableName(schema, name), actor=actor, reason=reason, terms=terms, using=tracked.database
    )


def _ended(numbers: _Numbers, using: str) -> bool:
    """What we wrote ourselves before; from then on nothing is left."""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("SELECT pending FROM custody.auditing_numbering FOR UPDATE")
        pending = cursor.fetchone()[0]
        if [pk for pk in pending if pk]:
            return False
        for table in _OWN_TABLES if pending and numbers.offset != numbers.before else ():
            sealed = (
                SealSection.objects.using(using)
                .filter(source=f"custody.{table}")
                .order_by("-last")
                .values_list("last", flat=True)
                .first()
            )
            cursor.execute(
                sql.SQL(_RAISE_OWN).format(
                    table=sql.Identifier("custody", table),
                    sealed=sql.Literal(sealed or 0),
                    **_terms(numbers),
                )
            )
        cursor.execute("UPDATE custody.auditing_numbering SET pending = '{}'")
    return True


def _struck(pk: int, using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "UPDATE custody.auditing_numbering SET pending = array_remove(pending, %s::bigint)",
            [pk],
        )


def _ask(using: str, query: str) -> tuple[Any, ...]:
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        row: tuple[Any, ...] = cursor.fetchone()
    return row

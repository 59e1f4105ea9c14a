"""The versions of one record, numbered, with who made each, when and why.

A record is what has one key. Where a key was changed, the versions under the old one end with it
and name the new one (`now`); those under the new one begin with it and name the old one (`was`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import DataError, connections, transaction
from psycopg import sql

from auditing.exceptions import NoSuchVersion
from auditing.models import ChangeContext, Operation, TrackedTable, VersionNote
from auditing.selectors.commits import counts_at
from auditing.selectors.images import Image, Shape, shape_of
from auditing.selectors.keys import key_is, key_values, record_id_of
from auditing.selectors.queries import pin
from auditing.selectors.recompute import recompute
from auditing.selectors.redacted import Place, redacted_columns

PAGE = 50
THERE = frozenset({Operation.INSERT, Operation.UPDATE, Operation.BASELINE, Operation.CARRIED})
"""After a version of these the record exists; its image is what it was then."""


@dataclass(frozen=True)
class Version:
    """One version of a record. `seq` stays what it is; `number` counts from the oldest kept."""

    number: int
    seq: int
    operation: Operation
    at: datetime
    record_id: str
    statement: int
    xid: int
    values: Image
    """What the row was after the change; after a DELETE, TRUNCATE or change of key, before it."""
    changed: tuple[int, ...]
    """Attnums that an update changed, masked ones too."""
    actor: str
    context: ChangeContext | None
    session_user: str
    client_addr: str | None
    was: str | None = None
    """The record id before, when this version came by a change of the key."""
    now: str | None = None
    """The record id after, when the key was changed."""
    note: VersionNote | None = None
    redacted: frozenset[int] = frozenset()
    """Attnums of columns whose value was destroyed: it is not among `values`."""

    @property
    def exists(self) -> bool:
        """The record was there after it."""
        return self.operation in THERE


@dataclass(frozen=True)
class VersionPage:
    """Versions of one record, newest first."""

    shape: Shape
    record_id: str
    versions: tuple[Version, ...]
    total: int
    """Of the record's versions, those on other pages too."""
    next_before: int | None
    """`before` of the page that follows; None on the last."""


@dataclass(frozen=True)
class ColumnDifference:
    """One column that differs between two versions."""

    attnum: int
    name: str
    old: str | None
    new: str | None
    masked: bool = False
    """It changed in between; its values are kept nowhere."""
    old_there: bool = True
    """False: the column did not exist, or cannot be computed, in the older version."""
    new_there: bool = True
    old_redacted: bool = False
    """It had a value, which was destroyed."""
    new_redacted: bool = False


def versions_of(
    tracked: TrackedTable,
    record_id: str,
    *,
    before: int | None = None,
    limit: int = PAGE,
    shape: Shape | None = None,
) -> VersionPage:
    """A page of a record's versions, newest first; none for a key that was never seen.

    Args:
        record_id: the record id, or the key as people write it.
        before: only versions with a lower `seq` than this: `next_before` of the page before.

    Raises:
        NoSuchVersion: the text is no key of this table.
    """
    shape = shape or shape_of(tracked)
    values = key_values(shape, record_id)
    where = key_is(shape, values)
    page = sql.SQL("{} AND h.seq < {}").format(where, sql.Literal(before)) if before else where
    with _reading(shape, record_id):
        total, upto = _counts(shape, where, page)
        found = _fetch(shape, page, limit=limit + 1, number=upto)
    named = found[0].record_id if found else record_id
    kept = tuple(_with_notes(tracked, named, _with_computed(shape, found[:limit])))
    more = len(found) > limit
    return VersionPage(shape, named, kept, total, kept[-1].seq if more else None)


def version_get(
    tracked: TrackedTable, record_id: str, number: int, *, shape: Shape | None = None
) -> Version:
    """The version of this number. Raises NoSuchVersion."""
    shape = shape or shape_of(tracked)
    where = key_is(shape, key_values(shape, record_id))
    with _reading(shape, record_id):
        total, _ = _counts(shape, where, where)
        found = (
            _fetch(shape, where, limit=1, number=number, skip=total - number)
            if 1 <= number <= total
            else []
        )
    if not found:
        had = f"versions 1 to {total}" if total else "no versions"
        raise NoSuchVersion(
            f"{shape.tracked} {record_id} has {had}, and none numbered {number}. "
            "`manage.py audit_history` lists them."
        )
    return _with_notes(tracked, found[0].record_id, _with_computed(shape, found))[0]


def version_by_seq(
    tracked: TrackedTable, record_id: str, seq: int, *, shape: Shape | None = None
) -> Version:
    """The version with this `seq`, which stays its own for ever. Raises NoSuchVersion."""
    shape = shape or shape_of(tracked)
    where = key_is(shape, key_values(shape, record_id))
    upto = sql.SQL("{} AND h.seq <= {}").format(where, sql.Literal(seq))
    with _reading(shape, record_id):
        _, number = _counts(shape, where, upto)
        found = _fetch(shape, upto, limit=1, number=number)
    if not found or found[0].seq != seq:
        raise NoSuchVersion(f"{shape.tracked} {record_id} has no version with sequence {seq}.")
    return _with_notes(tracked, found[0].record_id, _with_computed(shape, found))[0]


def version_at(
    tracked: TrackedTable, record_id: str, moment: datetime, *, shape: Shape | None = None
) -> Version | None:
    """The version that was the record's at a moment, also when that was its end.

    None: it had none yet. Whether it was there then: `Version.exists`.
    """
    shape = shape or shape_of(tracked)
    where = key_is(shape, key_values(shape, record_id))
    counted = sql.SQL("{} AND {}").format(where, counts_at(moment, using=shape.using))
    with _reading(shape, record_id):
        found = _fetch(shape, counted, limit=1, number=0)
        if not found:
            return None
        upto = sql.SQL("{} AND h.seq <= {}").format(where, sql.Literal(found[0].seq))
        _, number = _counts(shape, where, upto)
    numbered = [replace(found[0], number=number)]
    return _with_notes(tracked, found[0].record_id, _with_computed(shape, numbered))[0]


def version_difference(
    shape: Shape, old: Version, new: Version, *, masked: Iterable[int] = ()
) -> list[ColumnDifference]:
    """The columns that differ between two versions of one record, in the table's order.

    Values are compared as they print: 1.0 and 1.00 differ. Args: masked: attnums of masked columns
    that changed between the two, see `masked_between`.
    """
    hidden = set(masked)
    found = []
    for column in shape.columns:
        one, other = old.values.get(column.attnum), new.values.get(column.attnum)
        there = column.attnum in old.values, column.attnum in new.values
        if column.masked:
            if column.attnum in hidden:
                found.append(ColumnDifference(column.attnum, column.name, None, None, masked=True))
        elif one != other or (there[0] != there[1] and column.live is not None):
            found.append(
                ColumnDifference(
                    column.attnum,
                    column.name,
                    one,
                    other,
                    old_there=there[0],
                    new_there=there[1],
                    old_redacted=column.attnum in old.redacted,
                    new_redacted=column.attnum in new.redacted,
                )
            )
    return found


def masked_between(shape: Shape, old: Version, new: Version) -> set[int]:
    """The masked columns that some version after `old`, up to and with `new`, changed."""
    masked = {column.attnum for column in shape.columns if column.masked}
    if not masked:
        return set()
    first, last = sorted((old.seq, new.seq))
    where = sql.SQL("{} AND h.seq > {} AND h.seq <= {} AND h.op = 'U'").format(
        key_is(shape, key_values(shape, new.record_id)), sql.Literal(first), sql.Literal(last)
    )
    query = sql.SQL(
        "SELECT h.layout, pg_catalog.bit_or(h.changed)::pg_catalog.text FROM {} h WHERE {}"
        " GROUP BY h.layout, pg_catalog.length(h.changed)"
    ).format(shape.history, where)
    with connections[shape.using].cursor() as cursor:
        cursor.execute(query)
        found = [attnum for row in cursor.fetchall() for attnum in shape.changed(*row)]
    return masked.intersection(found)


# How they are read.

_HEAD = (
    "h.seq, h.op::pg_catalog.text, h.at, h.statement, h.xid, h.layout,"
    " h.changed::pg_catalog.text, h.db_user, pg_catalog.host(h.client), h.context,"
    " h.rest ->> 'was', h.rest ->> 'now'"
)
_HEADS = 13


@contextmanager
def _reading(shape: Shape, record_id: str) -> Iterator[None]:
    """Texts are printed alike for everybody, and what is no key is said in a sentence."""
    try:
        with transaction.atomic(using=shape.using):
            pin(using=shape.using)
            yield
    except DataError as error:
        names = ", ".join(f"{each.name} ({each.type})" for each in shape.key)
        raise NoSuchVersion(
            f"{record_id!r} is no key of {shape.tracked}: its key is {names}."
        ) from error


def _counts(shape: Shape, where: sql.Composable, upto: sql.Composable) -> tuple[int, int]:
    """How many versions there are, and how many among the second ones. The index alone tells."""
    query = sql.SQL(
        "SELECT pg_catalog.count(DISTINCT h.seq),"
        " pg_catalog.count(DISTINCT h.seq) FILTER (WHERE {}) FROM {} h WHERE {}"
    ).format(upto, shape.history, where)
    with connections[shape.using].cursor() as cursor:
        cursor.execute(query)
        total, among = cursor.fetchone()
    return total, among


def _fetch(
    shape: Shape, where: sql.Composable, *, limit: int, number: int, skip: int = 0
) -> list[Version]:
    """Newest first, the first of them numbered `number`."""
    captured = shape.captured
    query = sql.SQL(
        "SELECT DISTINCT ON (h.seq) {head}, {record}{values} FROM {history} h WHERE {where}"
        " ORDER BY h.seq DESC LIMIT {limit} OFFSET {skip}"
    ).format(
        head=sql.SQL(_HEAD),
        record=record_id_of(shape),
        values=sql.SQL("").join(sql.SQL(", {}").format(each.text()) for each in captured),
        history=shape.history,
        where=where,
        limit=sql.Literal(limit),
        skip=sql.Literal(skip),
    )
    with connections[shape.using].cursor() as cursor:
        cursor.execute(query)
        rows = cursor.fetchall()
    contexts = ChangeContext.objects.using(shape.using).in_bulk(
        {row[9] for row in rows if row[9] is not None}
    )
    return _without_redacted(
        shape,
        [
            _version(shape, row, number - place, _own(contexts.get(row[9]), row[4]))
            for place, row in enumerate(rows)
        ],
    )


def _without_redacted(shape: Shape, versions: list[Version]) -> list[Version]:
    """What was destroyed is not NULL."""
    places = [Place(each.seq, each.statement, each.record_id) for each in versions]
    found = redacted_columns(shape.tracked, places, using=shape.using)
    made = []
    for version, place in zip(versions, places, strict=True):
        gone = frozenset(a for a in found.get(place, ()) if version.values.get(a) is None)
        values = {a: text for a, text in version.values.items() if a not in gone}
        made.append(replace(version, values=values, redacted=gone))
    return made


def _own(context: ChangeContext | None, xid: int) -> ChangeContext | None:
    """Of another transaction it is somebody else's: anybody can set a number."""
    return context if context is not None and context.xid == xid else None


def _version(
    shape: Shape, row: tuple[Any, ...], number: int, context: ChangeContext | None
) -> Version:
    seq, op, at, statement, xid, layout, bits, db_user, client, _, was, now, record_id = row[
        :_HEADS
    ]
    if context is not None and context.xid != xid:
        context = None  # Anybody can name the number of somebody else's context.
    there = set(shape.was_there(layout))
    values = {
        column.attnum: text
        for column, text in zip(shape.captured, row[_HEADS:], strict=True)
        if text is not None or column.attnum in there
    }
    return Version(
        number=number,
        seq=seq,
        operation=Operation(op),
        at=at,
        record_id=record_id,
        statement=statement,
        xid=xid,
        values=values,
        changed=shape.changed(layout, bits),
        actor=context.actor if context else f"db:{db_user}",
        context=context,
        session_user=db_user,
        client_addr=client,
        was=was,
        now=now,
    )


def _with_computed(shape: Shape, versions: list[Version]) -> list[Version]:
    if not shape.virtual:
        return versions
    images = recompute(shape, [version.values for version in versions])
    return [replace(v, values=image) for v, image in zip(versions, images, strict=True)]


def _with_notes(tracked: TrackedTable, record_id: str, versions: list[Version]) -> list[Version]:
    notes = {
        note.seq: note
        for note in VersionNote.objects.filter(
            tracked=tracked, record_id=record_id, seq__in=[each.seq for each in versions]
        ).select_related("author")
    }
    return [replace(each, note=notes.get(each.seq)) for each in versions]

"""Putting one version of one record back: the row is then what it was, and that is a new version.

Invariants: only the row of this key is written to, in one short transaction; columns whose values
are not kept stay what they are; what is in the way is named, and nothing is changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from django.contrib.auth.models import User
from django.db import DatabaseError, connections, transaction
from psycopg import sql

from auditing.context import acting, context_send
from auditing.exceptions import RestoreRefused
from auditing.models import Operation, TrackedTable
from auditing.selectors.images import shape_of
from auditing.selectors.keys import key_is, key_values
from auditing.selectors.queries import PRINTED
from auditing.selectors.restorable import Restorable, restorable
from auditing.selectors.versions import Version, version_by_seq, version_get
from auditing.services.obstacles import Obstacle, obstacle
from operations.acting import person_fields
from operations.batches.application_path import application_path
from operations.catalogue.identifiers import quoted
from operations.session import set_local

_LIMITS = {"lock_timeout": "1000ms", "statement_timeout": "1500ms"}
"""The application waits for us two seconds at most."""

Action = Literal["insert", "update", "nothing"]


@dataclass(frozen=True)
class Difference:
    """A column that gets another value, as PostgreSQL prints it."""

    name: str
    live: str | None
    restored: str | None


@dataclass(frozen=True)
class Restored:
    """What a restore did, or with `dry_run` would do."""

    tracked: TrackedTable
    record_id: str
    version: Version
    action: Action
    """The row was missing, was another, or is already what it was."""
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    """What the restored row does not have of the version, in sentences."""
    obstacles: tuple[Obstacle, ...] = ()
    """With `dry_run`: what would refuse it."""
    new_seq: int | None = None
    """Of the version that it made."""
    dry_run: bool = field(default=False)


class _Undo(Exception):
    """Takes back what a dry run tried."""


def record_restore(
    *,
    tracked: TrackedTable,
    record_id: str,
    number: int | None = None,
    seq: int | None = None,
    actor: User,
    reason: str = "",
    dry_run: bool = False,
) -> Restored:
    """Makes the row of this key what it was in the version, by its number or its `seq`.

    A version that ended the record (a DELETE) stands for the row as it was then. A dry run tries
    it, within a transaction that it takes back, and so knows every constraint and trigger.

    Raises:
        NoSuchVersion: there is none.
        RestoreRefused: a constraint, a type or a trigger is in the way; nothing was changed.
    """
    reason_wanted(tracked, reason, dry_run=dry_run)
    shape = shape_of(tracked)
    if number is not None:
        version = version_get(tracked, record_id, number, shape=shape)
    else:
        version = version_by_seq(tracked, record_id, seq or 0, shape=shape)
    target = restorable(shape, rest=_rest(shape, version))
    work = _Restore(tracked, version, target)
    said = {
        **person_fields(actor),
        "reason": reason or f"Restore of version {version.number}",
        "extra": {"restored": {"version": version.number, "seq": version.seq}},
    }
    try:
        with acting(**said), transaction.atomic(using=shape.using):
            set_local({**PRINTED, **_LIMITS}, using=shape.using)
            found = work.do()
            if dry_run:
                raise _Undo
    except _Undo:
        return work.told(found, dry_run=True)
    except _Refused as refused:
        if dry_run:
            return work.told(refused.found, dry_run=True, obstacles=(refused.obstacle,))
        raise RestoreRefused(
            f"Version {version.number} of {tracked} {version.record_id} cannot be restored: "
            f"{refused.obstacle.why}. Nothing was changed."
        ) from None
    return work.told(found, dry_run=False)


def reason_wanted(tracked: TrackedTable, reason: str, *, dry_run: bool = False) -> None:
    """Raises RestoreRefused: the table wants a reason for every change, and there is none."""
    if tracked.reason_required and not reason.strip() and not dry_run:
        raise RestoreRefused(f"Changes of {tracked} need a reason: say why (--reason TEXT).")


@dataclass(frozen=True)
class _Found:
    action: Action
    differences: tuple[Difference, ...]
    changed_by_trigger: tuple[str, ...] = ()
    new_seq: int | None = None


class _Refused(Exception):
    def __init__(self, found: _Found, obstacle: Obstacle) -> None:
        super().__init__(obstacle.why)
        self.found, self.obstacle = found, obstacle


class _Restore:
    """The statements of one restore. `h` is the version's row in the history, `t` the live row."""

    def __init__(self, tracked: TrackedTable, version: Version, target: Restorable) -> None:
        self._tracked, self._version, self._target = tracked, version, target
        self._using = target.shape.using
        self._columns = [each for each in target.columns if each.attnum in version.values]

    def do(self) -> _Found:
        context_send(using=self._using)
        with self._target.ready():
            live = self._live()
            found = _Found(*self._difference(live))
            self._refuse_misfits(found)
            if found.action == "nothing":
                return found
            try:
                with transaction.atomic(using=self._using):
                    written = self._write(found)
                    self._execute("SET CONSTRAINTS ALL IMMEDIATE")
            except DatabaseError as error:
                in_the_way = obstacle(error, self._target.table, using=self._using)
                if in_the_way is None:
                    raise
                raise _Refused(found, in_the_way) from error
            if not written:
                raise _Refused(found, Obstacle("a trigger of the table left it out"))
            return _Found(found.action, found.differences, self._otherwise(), self._new_version())

    def _live(self) -> list[str | None] | None:
        """The live row's values, which nobody else changes until the commit; None for no row."""
        texts = [
            sql.SQL("{}::pg_catalog.text").format(self._target.live("t", each))
            for each in self._columns
        ]
        found = self._rows(
            "SELECT {texts} FROM {only}{table} t WHERE {key} FOR UPDATE OF t",
            texts=sql.SQL(", ").join(texts),
            key=self._key(),
        )
        return list(found[0]) if found else None

    def _key(self) -> sql.Composable:
        """By the live table's own index: the version's key is the same for all of it."""
        values = [
            sql.SQL("(SELECT {} FROM {} h WHERE {} LIMIT 1)").format(
                each.value("h"), self._target.shape.history, self._row
            )
            for each in self._target.key
        ]
        return sql.SQL(" AND ").join(
            sql.SQL("{} {} {}").format(self._target.live("t", each), each.equals, value)
            for each, value in zip(self._target.key, values, strict=True)
        )

    @property
    def _row(self) -> sql.Composable:
        shape = self._target.shape
        return sql.SQL("{} AND h.seq = {}").format(
            key_is(shape, key_values(shape, self._version.record_id)),
            sql.Literal(self._version.seq),
        )

    def _difference(self, live: list[str | None] | None) -> tuple[Action, tuple[Difference, ...]]:
        wanted = self._rows(
            "SELECT {texts} FROM {history} h WHERE {row} LIMIT 1",
            texts=sql.SQL(", ").join(each.text("h") for each in self._columns),
            row=self._row,
        )[0]
        now: list[str | None] = live if live is not None else [None] * len(self._columns)
        differences = tuple(
            Difference(each.column.name, before, after)
            for each, before, after in zip(self._columns, now, wanted, strict=True)
            if before != after
        )
        if live is None:
            return "insert", differences
        return ("update" if differences else "nothing"), differences

    def _refuse_misfits(self, found: _Found) -> None:
        misfits = self._rows(
            "SELECT {misfits} FROM {history} h WHERE {row} LIMIT 1",
            misfits=sql.SQL(", ").join(each.misfit("h") for each in self._columns),
            row=self._row,
        )[0]
        for each, wrong in zip(self._columns, misfits, strict=True):
            if wrong:
                was = self._version.values[each.attnum] or ""
                raise _Refused(
                    found,
                    Obstacle(
                        f"its {quoted(each.column.name)} was {_short(was)}, which does not fit: "
                        f"the column is {each.column.type} now"
                    ),
                )

    def _write(self, found: _Found) -> int:
        if found.action == "insert":
            columns = self._columns
            statement = (
                "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE"
                " SELECT {values} FROM {history} h WHERE {row} LIMIT 1"
            )
        else:
            changed = {each.name for each in found.differences}
            columns = [each for each in self._columns if each.column.name in changed]
            statement = (
                "UPDATE {only}{table} t SET ({names}) = ROW({fields})"
                " FROM (SELECT {aliased} FROM {history} h WHERE {row} LIMIT 1) v WHERE {key}"
            )
        names = [sql.Identifier(f"v{each.attnum}") for each in columns]
        with application_path(self._target.table.name, using=self._using):
            return self._execute(
                statement,
                names=sql.SQL(", ").join(each.column.sql for each in columns),
                values=sql.SQL(", ").join(each.value("h") for each in columns),
                fields=sql.SQL(", ").join(sql.SQL("v.{}").format(name) for name in names),
                aliased=sql.SQL(", ").join(
                    sql.SQL("{} AS {}").format(each.value("h"), name)
                    for each, name in zip(columns, names, strict=True)
                ),
                row=self._row,
                key=self._key(),
            )

    def _otherwise(self) -> tuple[str, ...]:
        """Columns that are not what they were to be: a trigger of the table has its own mind."""
        live = self._live()
        _, differences = self._difference(live)
        return tuple(each.name for each in differences)

    def _new_version(self) -> int | None:
        shape = self._target.shape
        found = self._rows(
            "SELECT max(h.seq) FROM {history} h WHERE {key} AND h.seq > {seq}"
            " AND h.xid = (SELECT custody.audit_xid())",
            key=key_is(shape, key_values(shape, self._version.record_id)),
            seq=sql.Literal(self._version.seq),
        )
        return found[0][0] if found else None

    # In words.

    def told(
        self, found: _Found, *, dry_run: bool, obstacles: tuple[Obstacle, ...] = ()
    ) -> Restored:
        return Restored(
            tracked=self._tracked,
            record_id=self._version.record_id,
            version=self._version,
            action=found.action,
            differences=found.differences,
            notes=tuple(self._notes(found)),
            obstacles=obstacles,
            new_seq=None if dry_run else found.new_seq,
            dry_run=dry_run,
        )

    def _notes(self, found: _Found) -> list[str]:
        became = "gets its default" if found.action == "insert" else "stays what it is"
        notes = [
            f"{quoted(name)} is masked, so its value is not kept: it {became}."
            for name in self._target.masked
        ]
        notes += [f"{quoted(name)} is not audited: it {became}." for name in self._target.excluded]
        missing = [each for each in self._target.columns if each.attnum not in self._version.values]
        notes += [
            f"{quoted(each.column.name)} was redacted, so its value is known no more: it {became}."
            for each in missing
            if each.attnum in self._version.redacted
        ]
        added = [each for each in missing if each.attnum not in self._version.redacted]
        notes += [f"{quoted(each.column.name)} was not there yet: it {became}." for each in added]
        shape = self._target.shape
        notes += [
            f"{quoted(column.name)} was {_short(text)}; the column is gone."
            for column in shape.columns
            if column.live is None and (text := self._version.values.get(column.attnum)) is not None
        ]
        if self._version.now and self._version.operation is Operation.REKEY:
            notes.append(
                f"The record was given the key {self._version.now} then, and has it still if "
                "nobody changed it since: this makes another row."
            )
        notes += [
            f"A trigger of the table made {quoted(name)} something else."
            for name in found.changed_by_trigger
        ]
        return notes

    # SQL.

    def _composed(self, query: str, parts: dict[str, sql.Composable]) -> sql.Composable:
        table = self._target.table
        return sql.SQL(query).format(
            table=table.name.sql,
            only=sql.SQL("" if table.kind == "partitioned" else "ONLY "),
            history=self._target.shape.history,
            **parts,
        )

    def _rows(self, query: str, **parts: sql.Composable) -> list[tuple[Any, ...]]:
        with connections[self._using].cursor() as cursor:
            cursor.execute(self._composed(query, parts))
            return list(cursor.fetchall())

    def _execute(self, query: str, **parts: sql.Composable) -> int:
        with connections[self._using].cursor() as cursor:
            cursor.execute(self._composed(query, parts))
            return int(cursor.rowcount)


def _rest(shape: Any, version: Version) -> set[int]:
    """The attnums that the version has in `rest`."""
    query = sql.SQL(
        "SELECT k FROM {} h CROSS JOIN LATERAL pg_catalog.jsonb_object_keys(h.rest) AS k"
        " WHERE h.seq = {} AND {}"
    ).format(
        shape.history,
        sql.Literal(version.seq),
        key_is(shape, key_values(shape, version.record_id)),
    )
    with connections[shape.using].cursor() as cursor:
        cursor.execute(query)
        return {int(key) for (key,) in cursor.fetchall() if key.isdigit()}


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 60 else f"{line[:59]}…")

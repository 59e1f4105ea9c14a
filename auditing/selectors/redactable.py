"""What of a history can be redacted: which columns, and in which versions they have a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db import connections
from psycopg import sql

from auditing.exceptions import BadColumns, RedactRefused
from auditing.models import Operation, TrackedTable
from auditing.seals.leaves import REST
from auditing.selectors.images import ImageColumn, Shape
from auditing.selectors.keys import has_one_place, key_is, key_values, record_id_of
from operations.catalogue.identifiers import Identifier, quoted

RECORDS = 200
"""Records asked for at once."""
_ENDED = (Operation.DELETE, Operation.TRUNCATE, Operation.REKEY)


@dataclass(frozen=True)
class Redactable:
    """A column, and all the places where versions may have a value of it."""

    image: ImageColumn

    @property
    def name(self) -> str:
        return self.image.name

    @property
    def kept(self) -> tuple[str, ...]:
        """Columns of the history: one for each type that it had."""
        return tuple(each.name for each in self.image.kept)

    @property
    def entry(self) -> str:
        """Its key in `rest`."""
        return str(self.image.attnum)

    @property
    def leaf_name(self) -> str:
        """Of its entry in `rest`, in a leaf."""
        return f"{REST}.{self.entry}"

    def has_value(self, alias: str = "h") -> sql.Composable:
        places = [sql.SQL("{} IS NOT NULL").format(Identifier(alias, name)) for name in self.kept]
        places.append(
            sql.SQL("{} ->> {} IS NOT NULL").format(
                Identifier(alias, REST), sql.Literal(self.entry)
            )
        )
        return sql.SQL("({})").format(sql.SQL(" OR ").join(places))


def redactable(shape: Shape, names: Sequence[str]) -> tuple[Redactable, ...]:
    """The columns of these names: as they are called now, or were when they were dropped.

    Of several dropped columns of one name, all.

    Raises:
        BadColumns: there is none, or it has no values in the history.
        RedactRefused: it is part of the key.
    """
    chosen: dict[int, Redactable] = {}
    for name in dict.fromkeys(names):
        present = shape.named(name)
        found = [present] if present else [c for c in shape.columns if c.name == name]
        if not found:
            known = ", ".join(sorted({quoted(each.name) for each in shape.captured}))
            raise BadColumns(f"The history of {shape.tracked} has no column {name!r}: {known}.")
        for column in found:
            _refuse(shape, column)
            chosen[column.attnum] = Redactable(column)
    return tuple(chosen[attnum] for attnum in sorted(chosen))


def _refuse(shape: Shape, column: ImageColumn) -> None:
    name = quoted(column.name)
    if column.key_position is not None:
        raise RedactRefused(
            f"{name} is part of the key of {shape.tracked}: without it nobody could tell whose "
            "versions these are, and the seals name records by it. Destroy the records with their "
            "versions instead (a retention policy: purge_run), or give them another key that says "
            "nothing, and let the history reach the end of its term."
        )
    if column.masked:
        raise BadColumns(f"{name} is masked: its values are in no version.")
    if column.generated == "virtual":
        raise BadColumns(
            f"{name} is computed when it is read: redact the columns that it is computed from."
        )


class Stretch(NamedTuple):
    """The versions of one record id from one number to another, both ends in."""

    record_id: str
    first: int
    last: int


WHOLE = (0, 2**63 - 1)


class Pick(NamedTuple):
    """One version that has a value to redact, and where it is."""

    partition: int
    """OID."""
    ctid: str
    seq: int
    statement: int
    op: str
    at: str
    xid: int
    record_id: str


def picks_of(
    shape: Shape, columns: Sequence[Redactable], stretches: Sequence[Stretch], *, using: str
) -> list[Pick]:
    """The versions of RECORDS stretches or so that have a value in any of the columns.

    In a transaction, or alone; what it returns may have changed by the next one.
    """
    bounds: dict[str, list[Stretch]] = {}
    for each in stretches:
        bounds.setdefault(each.record_id, []).append(each)
    values = sql.SQL(" OR ").join(each.has_value() for each in columns)
    query = sql.SQL(
        "SELECT h.tableoid::pg_catalog.int8, h.ctid::pg_catalog.text, h.seq, h.statement,"
        " h.op::pg_catalog.text, h.at::pg_catalog.text, h.xid, {record} FROM {history} h"
        " WHERE {keys} AND ({values}) ORDER BY h.seq, h.ctid"
    ).format(
        record=record_id_of(shape),
        history=shape.history,
        keys=keys_are(shape, list(bounds)),
        values=values,
    )
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        found = [Pick(*row) for row in cursor.fetchall()]
    return [
        pick
        for pick in found
        if any(each.first <= pick.seq <= each.last for each in bounds.get(pick.record_id, ()))
    ]


def versions_count(shape: Shape, record_ids: Sequence[str], *, using: str) -> int:
    """Of RECORDS records or so, with and without values."""
    query = sql.SQL("SELECT pg_catalog.count(*) FROM {} h WHERE {}").format(
        shape.history, keys_are(shape, record_ids)
    )
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])


def live_with_value(
    shape: Shape, columns: Sequence[Redactable], record_ids: Sequence[str], *, using: str
) -> int:
    """How many of the records are there, by their last version, with a value in the columns."""
    query = sql.SQL(
        "SELECT pg_catalog.count(*) FROM (SELECT DISTINCT ON ({record}) h.op, ({values}) AS has"
        " FROM {history} h WHERE {keys} ORDER BY {record}, h.seq DESC, h.op = 'C') x"
        ' WHERE x.has AND x.op <> ALL ({ended}::"char"[])'
    ).format(
        record=record_id_of(shape),
        values=sql.SQL(" OR ").join(each.has_value() for each in columns),
        history=shape.history,
        keys=keys_are(shape, record_ids),
        ended=sql.Literal([str(op) for op in _ENDED]),
    )
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])


def keys_are(shape: Shape, record_ids: Sequence[str]) -> sql.Composable:
    """The history row `h` is of one of these records; by the index of the key."""
    if not record_ids:
        return sql.SQL("false")
    [*columns] = shape.key
    if len(columns) == 1 and has_one_place(columns[0]):
        kept = columns[0].kept[0]
        array = sql.SQL("{}::{}[]").format(sql.Literal(list(record_ids)), sql.SQL(kept.type))
        return sql.SQL("{} = ANY ({})").format(Identifier("h", kept.name), array)
    return sql.SQL("({})").format(
        sql.SQL(" OR ").join(key_is(shape, key_values(shape, each)) for each in record_ids)
    )


def earlier_histories(tracked: TrackedTable) -> list[str]:
    """Histories of audits of the same table that ended, and of tables of the same name."""
    others = TrackedTable.objects.filter(
        database=tracked.database,
        schema_name=tracked.schema_name,
        table_name=tracked.table_name,
    ).exclude(pk=tracked.pk)
    return [str(each.history) for each in others.order_by("id")]

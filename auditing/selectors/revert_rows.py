"""The rows of a statement that is to be reverted: what each is now, was then, and was before.

Aliases: `h` a row of the statement in the history, `p` the version before it, `t` the live row.
What counts as changed since: of an update the columns that it changed, of an INSERT all that are
kept. Other columns that somebody changed meanwhile stay changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.db import connections
from psycopg import sql

from auditing.models import ChangeStatement, Operation
from auditing.selectors.change_rows import previous, rows_between
from auditing.selectors.keys import record_id_of
from auditing.selectors.redacted import Place, is_redacted, redacted_columns
from auditing.selectors.restorable import Restorable, RestorableColumn
from operations.catalogue.identifiers import Identifier, quoted
from operations.conditions.render import Text

State = Literal["ready", "already", "conflict"]
_GONE = (Operation.DELETE, Operation.TRUNCATE)

_FROM = (
    " FROM (SELECT h.* FROM {history} h WHERE {between}) h {previous}"
    " LEFT JOIN LATERAL (SELECT t.*, t.ctid FROM {live} t WHERE {key} LIMIT 1) t ON true"
    " ORDER BY h.seq"
)


@dataclass(frozen=True)
class RowLook:
    """How one row of the statement stands."""

    seq: int
    record_id: str
    state: State
    why: str = ""
    """What is in the way of a conflict."""


class RevertRows:
    """The statements about the rows of one statement, in stretches of `seq`.

    Each is about the rows with low < seq <= high. To be used while `restorable.ready()` holds.
    """

    def __init__(self, statement: ChangeStatement, target: Restorable) -> None:
        self._statement, self._target = statement, target
        self._shape, self._using = target.shape, target.shape.using

    # What stands in the way.

    def look(self, low: int, high: int) -> list[RowLook]:
        """In the order of their changes."""
        if self._statement.operation == Operation.INSERT:
            rows = self._run(self._inserted(low, high))
            return [self._look_inserted(*row) for row in rows]
        if self._statement.operation in _GONE:
            rows = self._run(self._deleted(low, high))
            return self._known([self._look_deleted(*row) for row in rows], low, high)
        columns = self._changed(low, high)
        rows = self._run(self._updated(low, high, columns))
        return self._known([self._look_updated(*row) for row in rows], low, high)

    def _known(self, looks: list[RowLook], low: int, high: int) -> list[RowLook]:
        """What was redacted is not put back as NULL: such a row stays."""
        ready = [each.seq for each in looks if each.state == "ready"]
        tracked = self._shape.tracked
        if not ready or not is_redacted(tracked, using=self._using):
            return looks
        alias = "h" if self._statement.operation in _GONE else "p"
        query = self._composed(
            "SELECT h.seq, h.layout, h.changed::pg_catalog.text, {from_}.seq, {from_}.statement,"
            " {record} FROM {rows} {previous}",
            from_=sql.Identifier(alias),
            record=record_id_of(self._shape, alias),
            rows=self._rows(low, high, ready),
            previous=previous(self._shape),
        )
        rows = self._run(query)
        found = redacted_columns(tracked, [Place(*row[3:]) for row in rows], using=self._using)
        lost: dict[int, str] = {}
        for seq, layout, bits, *place in rows:
            gone = found.get(Place(*place), set())
            if alias == "p":
                gone &= set(self._shape.changed(layout, bits))
            names = [each.column.name for each in self._target.columns if each.attnum in gone]
            if names:
                lost[seq] = f"redacted, so not known any more: {_names(names)}"
        return [
            RowLook(each.seq, each.record_id, "conflict", lost[each.seq])
            if each.seq in lost
            else each
            for each in looks
        ]

    @staticmethod
    def _look_inserted(seq: int, record: str, there: bool, differing: list[str]) -> RowLook:
        if not there:
            return RowLook(seq, record, "already")
        if differing:
            return RowLook(seq, record, "conflict", f"changed since: {_names(differing)}")
        return RowLook(seq, record, "ready")

    @staticmethod
    def _look_deleted(
        seq: int, record: str, there: bool, differing: list[str], misfits: list[str]
    ) -> RowLook:
        if there and not differing:
            return RowLook(seq, record, "already")
        if there:
            why = f"there is a row with its key again, which differs in: {_names(differing)}"
            return RowLook(seq, record, "conflict", why)
        if misfits:
            return RowLook(seq, record, "conflict", f"does not fit any more: {_names(misfits)}")
        return RowLook(seq, record, "ready")

    @staticmethod
    def _look_updated(  # noqa: PLR0917
        seq: int,
        record: str,
        known: bool,
        there: bool,
        done: bool,
        differing: list[str],
        misfits: list[str],
    ) -> RowLook:
        if not known:
            return RowLook(seq, record, "conflict", "the version before is kept no more")
        if done:
            return RowLook(seq, record, "already")
        if not there:
            return RowLook(seq, record, "conflict", "there is no such row any more")
        if differing:
            return RowLook(seq, record, "conflict", f"changed since: {_names(differing)}")
        if misfits:
            return RowLook(seq, record, "conflict", f"does not fit any more: {_names(misfits)}")
        return RowLook(seq, record, "ready")

    def _inserted(self, low: int, high: int) -> sql.Composable:
        return self._query(
            low,
            high,
            "SELECT h.seq, {record}, t.ctid IS NOT NULL, {differing}",
            differing=self._differing(self._target.columns, "h"),
        )

    def _deleted(self, low: int, high: int) -> sql.Composable:
        return self._query(
            low,
            high,
            "SELECT h.seq, {record}, t.ctid IS NOT NULL, {differing}, {misfits}",
            differing=self._differing(self._target.columns, "h"),
            misfits=self._misfits(self._target.columns, "h"),
        )

    def _updated(self, low: int, high: int, columns: Sequence[RestorableColumn]) -> sql.Composable:
        """A row that has its old key again is looked for under that."""
        undone = sql.SQL(" AND ").join(
            sql.SQL("(NOT {} OR {} IS NOT DISTINCT FROM {})").format(
                self._bit(each), self._live(each, "o"), each.text("p")
            )
            for each in columns
        )
        return self._query(
            low,
            high,
            "SELECT h.seq, {record}, p.seq IS NOT NULL, t.ctid IS NOT NULL,"
            " EXISTS (SELECT FROM {live} o WHERE {old_key} AND {undone}),"
            " {differing}, {misfits}",
            undone=undone if columns else sql.SQL("true"),
            old_key=self._target.same_key("o", "p"),
            differing=self._differing(columns, "h", bits=True),
            misfits=self._misfits(columns, "p", bits=True),
        )

    # What is put back.

    def put(self, low: int, high: int, ready: Sequence[int]) -> sql.Composable:
        """Reverts the rows with these numbers, as far as they are still what was looked at."""
        if self._statement.operation == Operation.INSERT:
            return self._delete(low, high, ready)
        if self._statement.operation in _GONE:
            return self._insert(low, high, ready)
        return self._update(low, high, ready)

    def _delete(self, low: int, high: int, ready: Sequence[int]) -> sql.Composable:
        return self._composed(
            "DELETE FROM {live} t USING {rows} WHERE {key} AND {same}",
            rows=self._rows(low, high, ready),
            key=self._target.same_key("t", "h"),
            same=sql.SQL(" AND ").join(
                sql.SQL("{} IS NOT DISTINCT FROM {}").format(self._live(each, "t"), each.text("h"))
                for each in self._target.columns
            ),
        )

    def _insert(self, low: int, high: int, ready: Sequence[int]) -> sql.Composable:
        columns = self._target.columns
        return self._composed(
            "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE"
            " SELECT {values} FROM {rows} ORDER BY h.seq",
            names=sql.SQL(", ").join(each.column.sql for each in columns),
            values=sql.SQL(", ").join(each.value("h") for each in columns),
            rows=self._rows(low, high, ready),
        )

    def _update(self, low: int, high: int, ready: Sequence[int]) -> sql.Composable:
        columns = self._changed(low, high)
        return self._composed(
            "UPDATE {live} t SET {sets} FROM (SELECT {wanted} FROM {rows} {previous}) w"
            " WHERE {key} AND {same}",
            sets=sql.SQL(", ").join(
                sql.SQL("{} = CASE WHEN w.{} THEN w.{} ELSE {} END").format(
                    each.column.sql,
                    _name("c", each),
                    _name("v", each),
                    Identifier("t", each.column.name),
                )
                for each in columns
            ),
            wanted=sql.SQL(", ").join(
                [
                    *(
                        sql.SQL("{} AS {}, {} AS {}, {} AS {}").format(
                            self._bit(each),
                            _name("c", each),
                            each.value("p"),
                            _name("v", each),
                            each.text("h"),
                            _name("a", each),
                        )
                        for each in columns
                    ),
                    *(
                        sql.SQL("{} AS {}").format(each.value("h"), _name("k", each))
                        for each in self._target.key
                    ),
                ]
            ),
            rows=self._rows(low, high, ready),
            previous=previous(self._shape),
            key=sql.SQL(" AND ").join(
                sql.SQL("{} {} w.{}").format(
                    Identifier("t", each.column.name), each.equals, _name("k", each)
                )
                for each in self._target.key
            ),
            same=sql.SQL(" AND ").join(
                sql.SQL("(NOT w.{} OR {} IS NOT DISTINCT FROM w.{})").format(
                    _name("c", each), self._live(each, "t"), _name("a", each)
                )
                for each in columns
            ),
        )

    # Parts.

    def _changed(self, low: int, high: int) -> list[RestorableColumn]:
        """The columns that any row of the stretch changed, and that can be put back."""
        query = sql.SQL(
            "SELECT h.layout, pg_catalog.bit_or(h.changed)::pg_catalog.text FROM {} h WHERE {}"
            " GROUP BY h.layout"
        ).format(self._shape.history, rows_between(self._statement, low, high))
        attnums = {a for row in self._run(query) for a in self._shape.changed(*row)}
        return [each for each in self._target.columns if each.attnum in attnums]

    def _bit(self, each: RestorableColumn) -> sql.Composable:
        """Whether the row of `h` changed the column."""
        cases = [
            sql.SQL("WHEN {} THEN pg_catalog.get_bit(h.changed, {}) = 1").format(
                sql.Literal(layout), sql.Literal(attnums.index(each.attnum))
            )
            for layout, attnums in self._shape.layouts.items()
            if each.attnum in attnums
        ]
        return sql.SQL("(CASE h.layout {} ELSE false END)").format(sql.SQL(" ").join(cases))

    def _live(self, each: RestorableColumn, alias: str) -> sql.Composable:
        return sql.SQL("{}::pg_catalog.text").format(Identifier(alias, each.column.name))

    def _differing(
        self, columns: Sequence[RestorableColumn], alias: str, *, bits: bool = False
    ) -> sql.Composable:
        """Names of the columns whose live value is another than the history's."""
        return self._listed(
            columns,
            [
                sql.SQL("{} IS DISTINCT FROM {}").format(self._live(each, "t"), each.text(alias))
                for each in columns
            ],
            bits=bits,
        )

    def _misfits(
        self, columns: Sequence[RestorableColumn], alias: str, *, bits: bool = False
    ) -> sql.Composable:
        return self._listed(columns, [each.misfit(alias) for each in columns], bits=bits)

    def _listed(
        self,
        columns: Sequence[RestorableColumn],
        conditions: Sequence[sql.Composable],
        *,
        bits: bool,
    ) -> sql.Composable:
        cases = [
            sql.SQL("CASE WHEN {} AND {} THEN {} END").format(
                self._bit(each) if bits else sql.SQL("true"), condition, Text(each.column.name)
            )
            for each, condition in zip(columns, conditions, strict=True)
        ]
        return sql.SQL("pg_catalog.array_remove(ARRAY[{}]::pg_catalog.text[], NULL)").format(
            sql.SQL(", ").join(cases)
        )

    def _rows(self, low: int, high: int, ready: Sequence[int]) -> sql.Composable:
        return sql.SQL(
            "(SELECT h.* FROM {} h WHERE {} AND h.seq = ANY ({}::pg_catalog.int8[])) h"
        ).format(
            self._shape.history,
            rows_between(self._statement, low, high),
            sql.Literal(list(ready)),
        )

    def _query(self, low: int, high: int, query: str, **parts: sql.Composable) -> sql.Composable:
        """Each row of the stretch with the version before it and with the live row, if any."""
        return self._composed(
            query + _FROM,
            record=record_id_of(self._shape),
            between=rows_between(self._statement, low, high),
            previous=previous(self._shape),
            key=self._target.same_key("t", "h"),
            **parts,
        )

    def _composed(self, query: str, **parts: sql.Composable) -> sql.Composable:
        table = self._target.table
        only = sql.SQL("" if table.kind == "partitioned" else "ONLY ")
        return sql.SQL(query).format(
            table=table.name.sql,
            live=sql.SQL("{}{}").format(only, table.name.sql),
            history=self._shape.history,
            **parts,
        )

    def _run(self, query: sql.Composable) -> list[tuple[Any, ...]]:
        with connections[self._using].cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())


def _name(letter: str, each: RestorableColumn) -> sql.Identifier:
    return sql.Identifier(f"{letter}{each.attnum}")


def _names(columns: Sequence[str]) -> str:
    return ", ".join(map(quoted, columns))

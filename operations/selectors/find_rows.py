"""Asking a table of an application for rows that answer: by its indexes, and through it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from django.db import connections
from psycopg import sql

from operations.asked import Asked, value_of
from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Column, Table
from operations.finding import Fit, Hit, Place, Search
from operations.readable import readable_columns
from operations.record_ids import (
    NoRecordId,
    given_keys,
    key_columns,
    key_values,
    record_id,
    same_key,
)
from operations.sought import (
    Field,
    any_of,
    best_fit,
    column_field,
    equals,
    meets,
    rank,
    shown_value,
    values,
)

ORDERED_UP_TO = 1_000_000
"""Rows of a table of which the best hits are told first; of a larger one those found first."""
RANKED = 5_000
"""Rows that answer among which the best are chosen: of more, the text says too little."""
_LEADING = """
SELECT x.indrelid::pg_catalog.int8, a.attname::pg_catalog.text,
       pg_catalog.bool_or(x.indisunique AND x.indnkeyatts = 1)
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_am m ON m.oid = i.relam AND m.amname = 'btree'
JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
WHERE x.indrelid = ANY (%s::pg_catalog.oid[]) AND x.indisvalid AND x.indisready
  AND x.indpred IS NULL
  AND (x.indcollation[0] = 0 OR x.indcollation[0] = a.attcollation)
GROUP BY 1, 2
"""


@dataclass(frozen=True)
class Indexed:
    """The columns with which indexes of a table begin."""

    unique: frozenset[str]
    others: frozenset[str]


def indexed_columns(tables: Sequence[Table], *, using: str) -> dict[int, Indexed]:
    """By oid; one query, however many tables."""
    with connections[using].cursor() as cursor:
        cursor.execute(_LEADING, [[table.oid for table in tables]])
        rows: list[tuple[int, str, bool]] = cursor.fetchall()
    return {
        table.oid: Indexed(
            frozenset(name for oid, name, unique in rows if oid == table.oid and unique),
            frozenset(name for oid, name, unique in rows if oid == table.oid and not unique),
        )
        for table in tables
    }


@dataclass(frozen=True)
class TableSearch:
    """One table, as a source asks it."""

    search: Search
    table: Table
    place: Place
    """Of its rows; what it says of each row comes from `extra`."""
    apart: sql.Composable | None = None
    """Only rows `t` for which this holds."""
    extra: tuple[sql.Composable, ...] = ()
    """Further values of each row, as text."""
    title: str = ""
    """For what was not looked at."""
    scans: bool = True
    """Without it an index serves `apart`: there are few such rows, and statistics may be old."""

    @property
    def named(self) -> str:
        return self.title or str(self.table.name)

    def by_index(self, indexed: Indexed) -> Iterator[tuple[Hit, tuple[Any, ...]]]:
        """Rows whose key, or a column that an index begins with, is what was asked for."""
        asked = self.search.asked
        key = self._key_condition(asked)
        if key is not None:
            yield from self._ask([], key[0], key[1], fit=Fit.KEY)
        primary = self.table.key.columns if self.table.key else ()
        for column in self.table.columns:
            known = column.name in indexed.unique or column.name in indexed.others
            if not known or (column.name,) == primary:
                continue
            field = column_field(column)
            condition = equals(field, asked) if field is not None else None
            if field is None or condition is None:
                continue
            told = column.name in indexed.unique or field.telling
            field = replace(field, telling=told)
            yield from self._ask([field], condition, values(asked))

    def through(
        self, *, deep: bool, without: frozenset[str] = frozenset()
    ) -> Iterator[tuple[Hit, tuple[Any, ...]]]:
        """Rows with a value that answers; `deep`: in long texts and documents.

        Args:
            without: columns that an index has told of already.
        """
        asked = self.search.asked
        pairs = [
            (field, condition)
            for column in self.table.columns
            if (field := column_field(column)) is not None
            and not (deep and field.telling)
            and not (field.name in without and equals_only(field, asked))
            and (condition := meets(field, asked, deep=deep)) is not None
        ]
        if pairs:
            fields = [field for field, _ in pairs]
            conditions = [condition for _, condition in pairs]
            yield from self._ask(
                fields, any_of(conditions), values(asked), conditions=conditions, deep=deep
            )

    def of_ids(self, record_ids: Sequence[str]) -> Iterator[tuple[Hit, tuple[Any, ...]]]:
        """The rows of these record ids that are there."""
        keys = []
        for each in record_ids:
            with suppress(NoRecordId):
                key = key_values(each, self.table)
                columns = zip(key, key_columns(self.table), strict=True)
                # A record of former times may have had a key of another type.
                if all(value_of(text, c.base_name) is not None or _odd(c) for text, c in columns):
                    keys.append(key)
        if keys:
            found = sql.SQL("EXISTS (SELECT FROM {} k WHERE {})").format(
                given_keys(keys, self.table), same_key(self.table, "t", "k")
            )
            yield from self._ask([], found, {}, fit=Fit.KEY)

    def _ask(
        self,
        fields: Sequence[Field],
        condition: sql.Composable,
        given: dict[str, Any],
        *,
        conditions: Sequence[sql.Composable] = (),
        fit: Fit | None = None,
        deep: bool = False,
    ) -> Iterator[tuple[Hit, tuple[Any, ...]]]:
        shown = readable_columns(self.table)
        best = rank(fields) if conditions and not deep and self._ordered else None
        found = sql.SQL("{} t WHERE {}{}").format(
            self.table.name.sql,
            condition,
            sql.SQL(" AND {}").format(self.apart) if self.apart is not None else sql.SQL(""),
        )
        query = sql.SQL("SELECT {}, {}, {}{} FROM {} LIMIT {}").format(
            self._record_id(),
            _array([sql.SQL("{}::pg_catalog.text").format(_of_row(each)) for each in shown]),
            _array(_matched(fields, conditions)),
            sql.SQL("").join(sql.SQL(", {}::pg_catalog.text").format(each) for each in self.extra),
            found
            if best is None
            else sql.SQL("(SELECT * FROM {} LIMIT {}) t ORDER BY {}").format(
                found, sql.Literal(RANKED), best
            ),
            sql.Literal(self.search.limit + 1),
        )
        named = self.named + (", its long texts" if deep else "")
        rows = self.search.rows(named, query, given, scans=self.scans)
        if len(rows) > self.search.limit:
            self.search.exceeds(self.place.kind, self.table.name)
        for record, texts, matched, *extra in rows[: self.search.limit]:
            met = [
                (field, text)
                for field, text in zip(fields, matched, strict=True)
                if text is not None
            ]
            hit = Hit(
                self.table.name,
                record or "",
                named_values([each.name for each in shown], texts),
                fit if fit is not None else best_fit(met, self.search.asked, deep=deep),
                tuple(field.name for field, _ in met) or self._key_names(),
                [self.place],
                keyed=record is not None,
            )
            yield hit, tuple(extra)

    @property
    def _ordered(self) -> bool:
        """What is asked is read in a moment: the whole table, or the few rows of a bin."""
        return not self.scans or 0 <= self.table.estimated_rows <= ORDERED_UP_TO

    def _record_id(self) -> sql.Composable:
        try:
            return record_id(self.table)
        except NoRecordId:
            return sql.SQL("NULL::pg_catalog.text")

    def _key_names(self) -> tuple[str, ...]:
        return self.table.key.columns if self.table.key else ()

    def _key_condition(self, asked: Asked) -> tuple[sql.Composable, dict[str, Any]] | None:
        """The row of this key; None: the text is no key of the table."""
        try:
            columns = key_columns(self.table)
            given = [
                value_of(each.strip(), column.base_name)
                for each, column in zip(key_values(asked.text, self.table), columns, strict=True)
            ]
        except NoRecordId:
            return None
        if any(each is None for each in given):
            return None
        parts = [
            sql.SQL("{} = {}::{}").format(
                _of_row(column), sql.Placeholder(f"key{place}"), _base(column)
            )
            for place, column in enumerate(columns)
        ]
        return sql.SQL("({})").format(sql.SQL(" AND ").join(parts)), {
            f"key{place}": each for place, each in enumerate(given)
        }


def _odd(column: Column) -> bool:
    """Of a type whose values are not read here; as a record's key its text is one."""
    return column.base_name in ("timestamp", "timestamptz", "bytea", "numeric", "cidr")


def equals_only(field: Field, asked: Asked) -> bool:
    """The column is asked for equality alone, which an index has answered."""
    return field.type not in ("text", "varchar", "bpchar", "name", "citext") or not asked.inside


def named_values(names: Sequence[str], texts: Sequence[str | None]) -> tuple[tuple[str, str], ...]:
    """Without NULLs and blanks."""
    pairs = zip(names, texts, strict=True)
    return tuple((name, text) for name, text in pairs if text is not None and text.strip())


def _matched(fields: Sequence[Field], conditions: Sequence[sql.Composable]) -> list[sql.Composable]:
    if not conditions:
        return [shown_value(each) for each in fields]
    return [
        sql.SQL("CASE WHEN {} THEN {} END").format(condition, shown_value(field))
        for field, condition in zip(fields, conditions, strict=True)
    ]


def _array(parts: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL("ARRAY[{}]::pg_catalog.text[]").format(sql.SQL(", ").join(parts))


def _of_row(column: Column) -> sql.Composable:
    return Identifier("t", column.name)


def _base(column: Column) -> sql.Composable:
    return Identifier(column.base_schema, column.base_name)

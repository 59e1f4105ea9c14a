"""Asking one history for versions that answer a search."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db import connections
from psycopg import sql

from auditing.models import TrackedTable
from auditing.selectors.find_standing import RowStanding, row_standing
from auditing.selectors.images import ImageColumn, Shape
from auditing.selectors.keys import has_one_place, key_is_text, record_id_of, type_name
from operations.asked import TEXTS, Asked, value_of
from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Column, Key, Table, TableName
from operations.finding import LEAST, Fit, Hit, Place, Search
from operations.masking_words import words
from operations.readable import identifies, is_secret_name, readable_columns
from operations.record_ids import NoRecordId, key_values
from operations.selectors.find_rows import RANKED
from operations.sought import Field, any_of, best_fit, equals, meets, rank, shown_value, values

_MAIL = frozenset({"email", "mail"})
_CATEGORIES = {
    **dict.fromkeys(TEXTS, "S"),
    **dict.fromkeys(("int2", "int4", "int8", "numeric", "float4", "float8"), "N"),
    **dict.fromkeys(("date", "timestamp", "timestamptz"), "D"),
    "bool": "B",
    "inet": "I",
}
_PARTITIONS = """
SELECT a.name, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, c.relpages
FROM pg_catalog.unnest(%s::pg_catalog.text[]) AS a (name)
CROSS JOIN LATERAL pg_catalog.pg_partition_tree(pg_catalog.to_regclass(a.name)) p
JOIN pg_catalog.pg_class c ON c.oid = p.relid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE p.isleaf ORDER BY c.relname DESC
"""
Partitions = list[tuple[TableName, int]]


def partitions_of(histories: Sequence[str], *, using: str) -> dict[str, Partitions]:
    """By history, its months, the newest first, each with its pages; none of one that is gone."""
    found: dict[str, Partitions] = {}
    with connections[using].cursor() as cursor:
        cursor.execute(_PARTITIONS, [list(histories)])
        for history, schema, name, pages in cursor.fetchall():
            found.setdefault(history, []).append((TableName(schema, name), pages))
    return found


@dataclass
class HistorySearch:
    search: Search
    tracked: TrackedTable
    shape: Shape
    partitions: Partitions
    """The newest month first, each with its pages."""

    @property
    def pages(self) -> int:
        return sum(pages for _, pages in self.partitions)

    @property
    def is_of_people(self) -> bool:
        return any(words(each.name) & _MAIL for each in self.shape.captured)

    @property
    def title(self) -> str:
        return f"history of {self.tracked.table}"

    def by_key(self) -> Iterator[Hit]:
        """The record that the text names, or those whose key of several columns begins with it."""
        asked = self.search.asked
        texts = self._key_texts(asked)
        if texts is not None:
            yield from self._ask(
                self.shape.history, key_is_text(self.shape, _JOINED, "h"), [], texts
            )
        elif len(self.shape.key) > 1:
            first = self.shape.key[0]
            asking = _field(first)
            condition = equals(asking, asked) if has_one_place(first) and asking else None
            if asking is not None and condition is not None:
                yield from self._ask(self.shape.history, condition, [asking], {})

    def through(self, *, deep: bool) -> Iterator[Hit]:
        """Versions with a value that answers."""
        asked = self.search.asked
        pairs = [
            (asking, condition)
            for column in self.shape.captured
            if (asking := _field(column)) is not None
            and not (deep and asking.telling)
            and (condition := meets(asking, asked, deep=deep)) is not None
        ]
        if not pairs:
            return
        fields = [asking for asking, _ in pairs]
        conditions = [condition for _, condition in pairs]
        for name, pages in self.partitions:
            if pages <= 0 and self.search.left > LEAST and self._empty(name):
                continue
            before = len(self.search.missed)
            yield from self._ask(
                name.sql, any_of(conditions), fields, {}, conditions=conditions, deep=deep
            )
            if len(self.search.missed) > before:
                # What is older is not looked at either.
                return

    def _empty(self, name: TableName) -> bool:
        with connections[self.shape.using].cursor() as cursor:
            cursor.execute(sql.SQL("SELECT NOT EXISTS (SELECT FROM {})").format(name.sql))
            return bool(cursor.fetchone()[0])

    def _ask(
        self,
        relation: sql.Composable,
        condition: sql.Composable,
        fields: Sequence[Field],
        given: dict[str, Any],
        *,
        conditions: Sequence[sql.Composable] = (),
        deep: bool = False,
    ) -> Iterator[Hit]:
        shown = self._readable
        matched = [
            shown_value(each)
            if not conditions
            else sql.SQL("CASE WHEN {} THEN {} END").format(conditions[place], shown_value(each))
            for place, each in enumerate(fields)
        ]
        best = rank(fields) if conditions and not deep else None
        # Few columns are sorted, and of the rows that are told only; those that are gone go first.
        query = sql.SQL(
            "SELECT m.stands, m.place, m.record, m.seq, {shown}, {matched} FROM ("
            "SELECT s.*, pg_catalog.row_number()"
            " OVER (PARTITION BY s.stands ORDER BY s.best, s.seq DESC) AS place FROM ("
            "SELECT g.*, {stands} AS stands FROM ("
            "SELECT {record} AS record{keys},"
            " pg_catalog.max(h.seq) AS seq, pg_catalog.min({best}) AS best,"
            " pg_catalog.bool_or(h.op = 'D') AS gone FROM {relation} h"
            " WHERE {condition} GROUP BY {record}{keys} ORDER BY gone DESC, seq DESC LIMIT {most}"
            ") g{row}) s) m"
            " CROSS JOIN LATERAL (SELECT h.* FROM {relation} h"
            " WHERE {same} AND h.seq = m.seq LIMIT 1) h"
            " WHERE m.place <= {limit} AND m.stands = ANY ({wanted}) ORDER BY m.place"
        ).format(
            shown=_array([each.text("h") for each in shown]),
            matched=_array(matched),
            record=record_id_of(self.shape),
            relation=relation,
            condition=condition,
            same=self._same_key(),
            best=best if best is not None else sql.SQL("0"),
            stands=self._standing.kind,
            keys=self._standing.keys,
            row=self._standing.row,
            most=sql.Literal(RANKED),
            limit=sql.Literal(self.search.limit + 1),
            wanted=sql.Literal(self._standing.wanted),
        )
        title = self.title + (", its long texts" if deep else "")
        rows = self.search.rows(title, query, {**values(self.search.asked), **given})
        names = [each.name for each in shown]
        for stands, place, record, seq, texts, found in rows:
            if place > self.search.limit:
                self.search.exceeds(stands, self.tracked.table)
                continue
            met = [(f, text) for f, text in zip(fields, found, strict=True) if text is not None]
            pairs = zip(names, texts, strict=True)
            yield Hit(
                self.tracked.table,
                record,
                tuple((name, text) for name, text in pairs if text and text.strip()),
                best_fit(met, self.search.asked, deep=deep) if fields else Fit.KEY,
                tuple(f.name for f, _ in met) or tuple(each.name for each in self.shape.key),
                [Place("history", 3, "in the history", facts={"seq": seq})],
            )

    @cached_property
    def _standing(self) -> RowStanding:
        return row_standing(self.search, self.tracked, self.shape)

    def _same_key(self) -> sql.Composable:
        """By the index of the key, where that is in one place."""
        if len(self.shape.key) == 1 and has_one_place(self.shape.key[0]):
            kept = self.shape.key[0].kept[0]
            return sql.SQL("h.{} = m.record::{}").format(
                sql.Identifier(kept.name), sql.SQL(kept.type)
            )
        return key_is_text(self.shape, sql.SQL("m.record"), "h")

    def _key_texts(self, asked: Asked) -> dict[str, str] | None:
        """The record id as the history writes it; None: the text is no key of the table."""
        key = self.shape.key
        if not key:
            return None
        try:
            given = key_values(asked.text, self._table)
        except NoRecordId:
            return None
        texts = []
        for text, column in zip(given, key, strict=True):
            base = type_name(column.kept[0].type) if column.kept else "text"
            value = value_of(text.strip(), base)
            if value is None:
                return None
            texts.append(value)
        if len(texts) == 1:
            return {"record": texts[0]}
        return {"record": json.dumps(texts, ensure_ascii=False)}

    @cached_property
    def _table(self) -> Table:
        """The columns of the history as a table that people read."""
        columns = tuple(_as_column(each) for each in self.shape.captured)
        return Table(
            name=self.tracked.table,
            oid=0,
            kind="table",
            columns=columns,
            keys=(Key("key", tuple(each.name for each in self.shape.key), primary=True),),
            foreign_keys=(),
            referenced_by=(),
            triggers=(),
            partition_of=None,
            partition_bound="",
            partition_key="",
            leaves=(),
            row_security=False,
            estimated_rows=-1,
            estimated_bytes=0,
        )

    @cached_property
    def _readable(self) -> tuple[ImageColumn, ...]:
        by_position = {each.attnum: each for each in self.shape.captured}
        return tuple(by_position[each.position] for each in readable_columns(self._table))


_JOINED = sql.SQL("%(record)s::pg_catalog.text")


def _field(column: ImageColumn) -> Field | None:
    if is_secret_name(column.name):
        return None
    if column.kept and has_one_place(column):
        value: sql.Composable = Identifier("h", column.kept[0].name)
        base = type_name(column.kept[0].type)
    else:
        value, base = column.text("h"), "text"
    return Field(column.name, value, base, identifies(_as_column(column)))


def _as_column(column: ImageColumn) -> Column:
    base = type_name(column.kept[0].type) if column.kept else "text"
    return Column(
        name=column.name,
        position=column.attnum,
        type=base,
        base_type=base,
        kind="base",
        category=_CATEGORIES.get(base, "U"),
        not_null=column.key_position is not None,
        generated="stored" if column.generated == "stored" else "",
        identity="",
        has_default=False,
        collation="",
        base_name=base,
    )


def _array(parts: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL("ARRAY[{}]::pg_catalog.text[]").format(sql.SQL(", ").join(parts))

"""A search through the rows that one table has in the bin, a window of deletions at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from auditing.selectors.unkept import untold_names
from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Column, Table
from operations.masking import is_document
from operations.readable import readable_columns
from operations.record_ids import NoRecordId, key_columns, record_id
from operations.session import set_local
from retention.selectors.deletion_conditions import all_of, days, others
from retention.selectors.deletions import DeletionFilter
from retention.selectors.preview_budget import Budget
from retention.selectors.remembered import Remembered

WINDOW = 20_000
"""Rows of a window; a larger deletion is looked at as a whole."""
STEP = 1.0
"""Seconds of a window at most."""
_ALL = 8
"""Readable columns that are searched first."""


@dataclass
class Look:
    """What of a table is looked through, and how far that has come."""

    table: Table
    condition: sql.Composable
    asked: DeletionFilter
    passed: int
    """Every deletion from this number on was looked at."""
    done: bool = False
    found: dict[int, str] = field(default_factory=dict)
    """By deletion, the record id of a row that fits."""

    def step(self, budget: Budget, *, size: int, using: str) -> None:
        """One window further back. Raises TooSlow."""
        with budget.limited(STEP, using=using) as cursor:
            # The index is small beside the table, whatever the statistics say of it.
            set_local({"enable_seqscan": "off"}, using=using)
            cursor.execute(self._floor())
            below = cursor.fetchone()
            floor = below[0] if below is not None else 0
            cursor.execute(self._window(floor, size))
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        for number, record in rows:
            self.found.setdefault(number, record)
        if len(self.found) > size:
            # Enough for a page; what is older comes with the next one.
            self.done = True
        self.passed = floor
        self.done = self.done or below is None

    def _floor(self) -> sql.Composable:
        return sql.SQL(
            "SELECT t.deletion_id FROM {table} t WHERE t.deletion_id IS NOT NULL"
            " AND t.deletion_id < {passed} ORDER BY t.deletion_id DESC OFFSET {rows} LIMIT 1"
        ).format(
            table=self.table.name.sql,
            passed=sql.Literal(self.passed),
            rows=sql.Literal(WINDOW),
        )

    def _window(self, floor: int, size: int) -> sql.Composable:
        return sql.SQL(
            "SELECT DISTINCT ON (t.deletion_id) t.deletion_id, {record} FROM {table} t"
            " WHERE t.deletion_id IS NOT NULL AND t.deletion_id >= {floor}"
            " AND t.deletion_id < {passed} AND {fits}{chosen}"
            " ORDER BY t.deletion_id DESC LIMIT {most}"
        ).format(
            record=_record(self.table),
            table=self.table.name.sql,
            floor=sql.Literal(floor),
            passed=sql.Literal(self.passed),
            fits=self.condition,
            chosen=_chosen(self.asked),
            most=sql.Literal(size + 1),
        )


def looks_at(
    tables: Iterable[Table], remembered: Remembered, asked: DeletionFilter, end: int, *, using: str
) -> tuple[list[Look], list[Look]]:
    """For every table its text, keys and readable numbers and days; then documents, which take
    longer. Never what opens something, nor what the audit does not keep."""
    first, then = [], []
    for table in tables:
        untold = untold_names(table, using=using)
        readable = readable_columns(table, most=_ALL, without=untold)
        others = [
            column
            for column in table.columns
            if column not in readable and column.name not in untold
        ]
        texts = (*readable, *(column for column in others if column.category == "S"))
        first.append(Look(table, _fits(table, texts, remembered, keys=True), asked, end))
        if documents := tuple(column for column in others if is_document(column)):
            # Words may stand in a document and beside it.
            then.append(Look(table, _fits(table, (*texts, *documents), remembered), asked, end))
    return first, then


def _record(table: Table) -> sql.Composable:
    try:
        return record_id(table)
    except NoRecordId:
        return sql.SQL("''")


def _fits(
    table: Table, columns: Iterable[Column], remembered: Remembered, *, keys: bool = False
) -> sql.Composable:
    """Each word stands in one of the columns, or is the value of one; or the day is."""
    columns = tuple(columns)
    words = [
        sql.SQL("({})").format(
            sql.SQL(" OR ").join(_word(table, columns, word, pattern, keys=keys))
        )
        for word, pattern in zip(remembered.words, remembered.patterns, strict=True)
    ]
    alternatives = [sql.SQL("({})").format(sql.SQL(" AND ").join(words))]
    if remembered.day is not None:
        alternatives += [
            sql.SQL("{}::pg_catalog.date OPERATOR(pg_catalog.=) {}").format(
                Identifier("t", column.name), sql.Literal(remembered.day)
            )
            for column in columns
            if column.category == "D" and column.base_type in ("date", "timestamp", "timestamptz")
        ]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(alternatives))


def _word(
    table: Table, columns: tuple[Column, ...], word: str, pattern: str, *, keys: bool
) -> Iterator[sql.Composable]:
    yield sql.SQL("false")
    for column in columns:
        name = Identifier("t", column.name)
        if column.category == "S" or is_document(column):
            # By the database's own collation: a column's may not know ILIKE.
            yield sql.SQL(
                '({}::pg_catalog.text COLLATE pg_catalog."default") OPERATOR(pg_catalog.~~*) {}'
            ).format(name, sql.Literal(pattern))
        else:
            yield _equal(name, word)
    if keys and table.key is not None:
        try:
            for column in key_columns(table):
                yield _equal(Identifier("t", column.name), word)
        except NoRecordId:
            return


def _equal(name: sql.Composable, word: str) -> sql.Composable:
    return sql.SQL("{}::pg_catalog.text OPERATOR(pg_catalog.=) {}").format(name, sql.Literal(word))


def _chosen(asked: DeletionFilter) -> sql.Composable:
    """What the deletion itself has to be, so that a page is not filled with what does not fit."""
    parts = [*days(asked), *others(asked)]
    if not parts:
        return sql.SQL("")
    return sql.SQL(
        " AND EXISTS (SELECT FROM custody.retention_deletion d WHERE d.id = t.deletion_id AND {})"
    ).format(all_of(parts))

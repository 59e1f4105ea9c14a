"""What a deletion took, row by row, and what it severed.

What people recognise a row by is read from the row when it is shown: nothing of it is copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db import connections
from psycopg import sql

from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table, TableName
from operations.readable import readable_columns
from operations.record_ids import (
    NoRecordId,
    given_keys,
    key_columns,
    key_values,
    record_id,
    same_key,
)
from retention.models import Deletion, SeveredReference


@dataclass(frozen=True)
class SeveredCount:
    """References of one foreign key that a deletion set to NULL or to their default."""

    table: str
    constraint: str
    columns: tuple[str, ...]
    rows: int
    to_default: bool = False
    """They were set to their default, not to NULL."""

    @property
    def words(self) -> str:
        """What was done to the columns: `user_id set to NULL`."""
        value = "its default" if self.to_default else "NULL"
        return f"{', '.join(self.columns)} set to {value}"


@dataclass(frozen=True)
class DeletedRow:
    """A row of a deletion, by what people recognise it by."""

    record_id: str
    values: tuple[tuple[str, str], ...]
    """Column and text, the most telling first, without NULLs."""

    @property
    def label(self) -> str:
        """In one line; the record id where nothing else tells."""
        told = ", ".join(value for _, value in self.values[:3])
        return told or self.record_id


def severed_counts(deletion: Deletion, *, using: str = "default") -> tuple[SeveredCount, ...]:
    """What the deletion severed, by foreign key."""
    query = """
    SELECT s.schema_name, s.table_name, s.constraint_name,
           ARRAY(SELECT jsonb_object_keys(min(s.was::text)::jsonb)), count(*),
           bool_or(jsonb_strip_nulls(s.became) <> '{}')
    FROM custody.retention_severedreference s WHERE s.deletion_id = %s
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    """
    with connections[using].cursor() as cursor:
        cursor.execute(query, [deletion.pk])
        return tuple(
            SeveredCount(str(TableName(schema, name)), constraint, tuple(columns), rows, default)
            for schema, name, constraint, columns, rows, default in cursor.fetchall()
        )


def severed_rows(
    deletion: Deletion, *, after: int = 0, limit: int = 50, using: str = "default"
) -> list[SeveredReference]:
    """One by one, in the order they were severed; `after`: behind the one of this number."""
    found = SeveredReference.objects.using(using).filter(deletion=deletion, pk__gt=after)
    return list(found.order_by("pk")[:limit])


def deletion_rows(
    deletion: Deletion,
    name: TableName,
    *,
    after: str | None = None,
    limit: int = 20,
    using: str = "default",
) -> list[DeletedRow]:
    """Its rows of one table that are in the bin now, by key; `after`: behind this record id.

    Raises:
        NoSuchTable, NoRecordId: the table is gone, or has no key any more.
    """
    table = read_table(name, using=using)
    keys = sql.SQL(", ").join(sql.Identifier("t", each.name) for each in key_columns(table))
    behind: sql.Composable = sql.SQL("true")
    if after is not None:
        given = given_keys([key_values(after, table)], table)
        behind = sql.SQL("ROW({}) > (SELECT {} FROM {} t)").format(keys, keys, given)
    query = sql.SQL(
        "SELECT {} FROM {} t WHERE t.deletion_id = {} AND {} ORDER BY {} LIMIT {}"
    ).format(
        _shown(table),
        table.name.sql,
        sql.Literal(deletion.pk),
        behind,
        keys,
        sql.Literal(limit),
    )
    return _rows(query, table, using)


def deletion_labels(
    deletions: Iterable[Deletion], *, using: str = "default"
) -> dict[int, DeletedRow]:
    """By deletion, the record that it began with; none for those that began with several, or whose
    record is gone."""
    by_table: dict[TableName, dict[str, list[int]]] = {}
    for each in deletions:
        if each.record_id:
            records = by_table.setdefault(each.table, {})
            records.setdefault(each.record_id, []).append(each.pk)
    found: dict[int, DeletedRow] = {}
    for name, records in by_table.items():
        for row in _known(name, list(records), using):
            found.update(dict.fromkeys(records.get(row.record_id, ()), row))
    return found


def record_labels(
    name: TableName, record_ids: Iterable[str], *, using: str = "default"
) -> dict[str, DeletedRow]:
    """By record id, rows of a table whether they are deleted or not."""
    return {row.record_id: row for row in _known(name, list(dict.fromkeys(record_ids)), using)}


def _known(name: TableName, record_ids: list[str], using: str) -> Iterator[DeletedRow]:
    """Those that are there; none of a table that is gone or has another key."""
    try:
        table = read_table(name, using=using)
        keys = [key_values(each, table) for each in record_ids]
    except (NoSuchTable, NoRecordId):
        return
    if keys:
        query = sql.SQL("SELECT {} FROM {} t JOIN {} k ON {}").format(
            _shown(table), table.name.sql, given_keys(keys, table), same_key(table, "t", "k")
        )
        yield from _rows(query, table, using)


def _shown(table: Table) -> sql.Composable:
    columns = [
        # To the minute: it is to be recognised.
        sql.SQL("pg_catalog.left({}::pg_catalog.text, {})").format(
            sql.Identifier("t", each.name), sql.Literal(16 if each.category == "D" else 200)
        )
        for each in readable_columns(table)
    ]
    return sql.SQL(", ").join([record_id(table), *columns])


def _rows(query: sql.Composable, table: Table, using: str) -> list[DeletedRow]:
    names = [each.name for each in readable_columns(table)]
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        return [
            DeletedRow(
                row[0],
                tuple(
                    (name, text)
                    for name, text in zip(names, row[1:], strict=True)
                    if text is not None and text.strip()
                ),
            )
            for row in cursor.fetchall()
        ]

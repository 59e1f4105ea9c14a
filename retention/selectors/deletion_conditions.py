"""Which deletions are asked for, in SQL, for alias `d`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import connections
from psycopg import sql

from operations.catalogue.types import TableName
from retention.models import Deletion
from retention.selectors.deletions import DeletionFilter

_NUMBERS = sql.SQL(
    "SELECT d.id FROM (SELECT * FROM custody.retention_deletion d WHERE {bounds}"
    " ORDER BY {order} LIMIT {looked_at}) d WHERE {rest} ORDER BY {order} LIMIT {most}"
)
BY_TIME = sql.SQL("d.deleted_at DESC, d.id DESC")
BY_NUMBER = sql.SQL("d.id DESC")


def days(asked: DeletionFilter) -> list[sql.Composable]:
    """By the index that the list is in the order of."""
    parts: list[sql.Composable] = []
    if asked.since is not None:
        parts.append(sql.SQL("d.deleted_at >= {}::timestamptz").format(sql.Literal(asked.since)))
    if asked.until is not None:
        parts.append(sql.SQL("d.deleted_at < {}::timestamptz").format(sql.Literal(asked.until)))
    return parts


def others(asked: DeletionFilter) -> list[sql.Composable]:
    """What else is asked for; of a table also deletions that began elsewhere."""
    parts: list[sql.Composable] = []
    if asked.state:
        parts.append(sql.SQL("d.state = {}").format(sql.Literal(asked.state)))
    if asked.actor:
        parts.append(holds_word("d.actor", asked.actor))
    if asked.table is not None:
        parts.append(_of(asked.table))
    return parts


def holds_word(column: str, word: str) -> sql.Composable:
    """The text has the word somewhere, in capitals or not."""
    return sql.SQL("pg_catalog.strpos(pg_catalog.lower({}), pg_catalog.lower({})) > 0").format(
        sql.SQL(column), sql.Literal(word)
    )


def _of(name: TableName) -> sql.Composable:
    return sql.SQL(
        "((d.schema_name, d.table_name) = ({schema}, {name}) OR EXISTS ("
        "SELECT FROM custody.retention_deletiontable e WHERE e.deletion_id = d.id"
        " AND (e.schema_name, e.table_name) = ({schema}, {name})))"
    ).format(schema=sql.Literal(name.schema), name=sql.Literal(name.name))


def all_of(parts: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL(" AND ").join(parts or [sql.SQL("true")])


def newest(
    bounds: Sequence[sql.Composable],
    rest: Sequence[sql.Composable],
    *,
    order: sql.Composable = BY_TIME,
    looked_at: int,
    most: int,
    using: str,
) -> list[Deletion]:
    """The first `most` in this order that fit, among the first `looked_at` within the bounds."""
    query = _NUMBERS.format(
        bounds=all_of(bounds),
        rest=all_of(rest),
        order=order,
        looked_at=sql.Literal(looked_at),
        most=sql.Literal(most),
    )
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        numbers = [number for (number,) in cursor.fetchall()]
    found = Deletion.objects.using(using).in_bulk(numbers)
    return [found[number] for number in numbers if number in found]


def last_looked_at(
    bounds: Sequence[sql.Composable], *, looked_at: int, using: str
) -> tuple[int, datetime] | None:
    """Number and time of the last one that `newest` looks at; None when there are not so many."""
    query = sql.SQL(
        "SELECT d.id, d.deleted_at FROM custody.retention_deletion d WHERE {}"
        " ORDER BY {} OFFSET {} LIMIT 1"
    ).format(all_of(bounds), BY_TIME, sql.Literal(looked_at - 1))
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        found: tuple[int, datetime] | None = cursor.fetchone()
    return found

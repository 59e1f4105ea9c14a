"""Of a history's records: whether each is live, apart (in a bin), or gone from its table.

Told by the table itself, so that of a name that thousands have those that are gone are found too.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connections
from psycopg import sql

from auditing.models import TrackedTable
from auditing.selectors.images import ImageColumn, Shape
from auditing.selectors.keys import has_one_place, type_name
from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Table
from operations.finding import Search, sources
from operations.selectors.find_live import LIVE, live_searches

GONE = "history"
_MAY_READ = "SELECT pg_catalog.has_table_privilege(%s::pg_catalog.oid, 'SELECT')"


@dataclass(frozen=True)
class RowStanding:
    """How a statement tells it of groups `g` of versions of one record."""

    kind: sql.Composable
    """A standing; where it cannot be told, as if the record was gone."""
    keys: sql.Composable
    """The key's columns in the history `h`, each behind a comma."""
    row: sql.Composable
    """The join of `g` with the table's row `t`."""
    wanted: list[str]
    """The kinds that were asked for."""


def row_standing(search: Search, tracked: TrackedTable, shape: Shape) -> RowStanding:
    table = next(
        (each.table for each in live_searches(search) if each.table.oid == tracked.table_oid), None
    )
    columns = [(each, column) for each in shape.key if (column := _joined(each, table))]
    if table is None or not columns or len(columns) < len(shape.key) or not _told(search, table):
        kind: sql.Composable = sql.SQL("{}::pg_catalog.text").format(sql.Literal(GONE))
        return RowStanding(kind, sql.SQL(""), sql.SQL(""), _wanted(search, told=False))
    kept = [each.kept[0].name for each, _ in columns]
    same = [
        sql.SQL("t.{} = g.{}").format(sql.Identifier(column), sql.Identifier(name))
        for name, (_, column) in zip(kept, columns, strict=True)
    ]
    return RowStanding(
        _kind(search, table, columns[0][1]),
        sql.SQL("").join(sql.SQL(", {}").format(Identifier("h", name)) for name in kept),
        sql.SQL(" LEFT JOIN {} t ON {}").format(table.name.sql, sql.SQL(" AND ").join(same)),
        _wanted(search, told=True),
    )


def _joined(column: ImageColumn, table: Table | None) -> str | None:
    """Its name in the table, where the values are of one type in both."""
    if table is None or column.live is None or not has_one_place(column):
        return None
    known = table.column(column.name)
    if known is None or (known.base_kind, known.base_schema) != ("base", "pg_catalog"):
        return None
    return column.name if known.base_name == type_name(column.kept[0].type) else None


def _told(search: Search, table: Table) -> bool:
    """The console sees all rows of the table."""
    if table.row_security:
        return False
    with connections[search.using].cursor() as cursor:
        cursor.execute(_MAY_READ, [table.oid])
        return bool(cursor.fetchone()[0])


def _kind(search: Search, table: Table, key: str) -> sql.Composable:
    parts = [sql.SQL("WHEN t.{} IS NULL THEN {}").format(sql.Identifier(key), sql.Literal(GONE))]
    for source in sources():
        apart = source.apart(table, using=search.using)
        if apart is not None and source.standing is not None:
            open_ = search.user is None or source.open_to(search.user)
            kind = source.standing.kind if open_ else GONE
            parts.append(sql.SQL("WHEN {} THEN {}").format(apart, sql.Literal(kind)))
    return sql.SQL("CASE {} ELSE {} END").format(sql.SQL(" ").join(parts), sql.Literal(LIVE.kind))


def _wanted(search: Search, *, told: bool) -> list[str]:
    """Where it cannot be told all are asked for: it shows when they are put together."""
    if told and search.standing:
        return [search.standing]
    return [GONE, *(each.standing.kind for each in sources() if each.standing is not None)]

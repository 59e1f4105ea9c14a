"""Which parts of an archive can hold a key: those that were walked by keys say which ones."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connections
from psycopg import sql

from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Column, Table
from operations.conditions.render import plain_text
from operations.conditions.structure import And, Comparison, Condition, Now
from retention.models import Archive, ArchivePart

_ORDERED = frozenset({"int2", "int4", "int8", "numeric", "uuid"})
"""Types whose text and order no setting and no collation changes."""


@dataclass(frozen=True)
class _Wanted:
    """Values of a column of which every row that meets the condition has one."""

    column: Column
    values: tuple[str, ...]


def parts_with(
    archive: Archive, table: Table, where: Condition | None, *, using: str
) -> list[ArchivePart]:
    """The parts, by number; without those that cannot hold a row that meets the condition."""
    parts = list(archive.parts.order_by("number"))
    wanted = _wanted(archive, table, where)
    ranged = [part for part in parts if part.window.get("by") == "key"] if wanted else []
    if wanted is None or not ranged:
        return parts
    inside = _inside(ranged, wanted, using)
    return [part for part in parts if part.window.get("by") != "key" or part.number in inside]


def _wanted(archive: Archive, table: Table, where: Condition | None) -> _Wanted | None:
    walk = archive.run.parameters.get("walk") or {}
    # What went along with other rows was found through them, not by a range of its own.
    if archive.root_id is not None or len(walk.get("columns", ())) != 1 or where is None:
        return None
    column = table.column(walk["columns"][0])
    if column is None or column.base_type not in _ORDERED:
        return None
    for part in where.parts if isinstance(where, And) else (where,):
        if isinstance(part, Comparison) and part.column == column.name:
            named = part.operator in ("=", "in") and part.values
            if named and not any(isinstance(value, Now) for value in part.values):
                return _Wanted(column, tuple(plain_text(value) for value in part.values))  # type: ignore[arg-type]
    return None


def _inside(parts: list[ArchivePart], wanted: _Wanted, using: str) -> set[int]:
    query = sql.SQL(
        "SELECT w.number FROM unnest(%s::int8[], %s::text[], %s::text[])"
        " AS w (number, after, upto) WHERE EXISTS (SELECT FROM unnest(%s::text[]) v (value)"
        " WHERE (w.after IS NULL OR v.value::{type} OPERATOR({schema}.>) w.after::{type})"
        " AND (w.upto IS NULL OR v.value::{type} OPERATOR({schema}.<=) w.upto::{type}))"
    ).format(
        type=Identifier(wanted.column.base_schema, wanted.column.base_name),
        schema=Identifier(wanted.column.base_schema),
    )
    bounds = [
        [(part.window.get(name) or [None])[0] for part in parts] for name in ("after", "upto")
    ]
    with connections[using].cursor() as cursor:
        cursor.execute(query, [[part.number for part in parts], *bounds, list(wanted.values)])
        return {row[0] for row in cursor.fetchall()}

"""Which holds stand in the way of a soft deletion: it would change rows that they protect.

A row in the bin is still there, so a hold on it, or on what goes along, loses nothing. But a
reference that is set to NULL changes a row that stays: a hold whose condition looks at that column
would no longer see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connections
from psycopg import sql

from operations import vetoes
from operations.catalogue.types import Table, TableName
from operations.record_ids import given_keys, key_values
from operations.record_ids import same_key as same
from retention.selectors.dependents import Reference
from retention.selectors.references import refers
from retention.selectors.softdelete_graph import Enabled, Entering, entering_graph
from retention.selectors.softdelete_marks import is_active

Places = dict[tuple[int, str], None]
"""Rows, by the oid of their table or partition and their ctid."""


@dataclass(frozen=True)
class SeveredHeld:
    """Protected rows that refer to what would be deleted."""

    table: TableName
    constraint: str
    rows: int
    by: tuple[str, ...]
    """Who protects them: `hold 2031-17`."""

    def __str__(self) -> str:
        rows = "a row" if self.rows == 1 else f"{self.rows:,} rows"
        return (
            f"{rows} of {self.table} would lose the reference ({self.constraint}), which "
            f"{', '.join(self.by)} forbids"
        )


def severed_held(*, table: Table, record_id: str, using: str = "default") -> list[SeveredHeld]:
    """What a deletion of the record, with all that goes along, must not sever.

    Inside a transaction no hold can be placed from here on until it ends. Without a hold on a table
    that would lose a reference nothing is looked up.

    Raises:
        NoRecordId: the text is no key of this table.
    """
    entering = entering_graph(table, Enabled(using=using))
    protected = [
        (each, where, by)
        for each in entering.severed
        if (found := protected_rows(each, using=using)) is not None
        for where, by in [found]
    ]
    if not protected:
        return []
    rows = _going(entering, record_id, using)
    held = []
    for each, where, by in protected:
        count = _ask(
            sql.SQL(
                "SELECT count(*) FROM (SELECT t.* FROM {child} t WHERE {where}) c"
                " JOIN ({parents}) p ON {refers}"
            ).format(
                child=each.key.table.sql,
                where=where,
                parents=_at(entering.graph.tables[each.parent], rows[each.parent]),
                refers=refers(
                    each.key, entering.graph.tables[each.parent], child="c", referred="p"
                ),
            ),
            using,
        )[0][0]
        if count:
            held.append(SeveredHeld(each.key.table, each.key.name, int(str(count)), by))
    return held


def protected_rows(each: Reference, *, using: str) -> tuple[sql.Composable, tuple[str, ...]] | None:
    """Which rows `t` that refer are protected, and by whom; None when nobody protects any."""
    child = Enabled(using=using).table(each.key.table)
    found = vetoes.protections(child, using=using)
    if not found:
        return None
    try:
        where: sql.Composable = sql.SQL("NOT ({})").format(vetoes.unprotected(found, table=child))
    except vetoes.Vetoed:
        where = sql.SQL("true")
    if each.active:
        where = sql.SQL("{} AND {}").format(is_active("t"), where)
    return where, tuple(dict.fromkeys(protection.by for protection in found))


def _going(entering: Entering, record_id: str, using: str) -> list[Places]:
    """By the tables' numbers, what a deletion would take, level by level."""
    graph = entering.graph
    root = graph.root
    rows: list[Places] = [{} for _ in graph.tables]
    first = sql.SQL(
        "SELECT t.tableoid::pg_catalog.int8, t.ctid::pg_catalog.text FROM {table} t JOIN {given} k"
        " ON {same} WHERE {active}"
    ).format(
        table=root.name.sql,
        given=given_keys([key_values(record_id, root)], root),
        same=same(root, "t", "k"),
        active=is_active("t"),
    )
    new: dict[int, Places] = {0: dict.fromkeys(_places(first, using))}
    while new:
        for number, places in new.items():
            rows[number].update(places)
        level, new = new, {}
        for each in graph.along:
            assert each.child is not None
            if each.parent not in level:
                continue
            query = sql.SQL(
                "SELECT DISTINCT t.tableoid::pg_catalog.int8, t.ctid::pg_catalog.text"
                " FROM {child} t JOIN ({parents}) p ON {refers} WHERE {active}"
            ).format(
                child=each.key.table.sql,
                parents=_at(graph.tables[each.parent], level[each.parent]),
                refers=refers(each.key, graph.tables[each.parent], child="t", referred="p"),
                active=is_active("t"),
            )
            found = [place for place in _places(query, using) if place not in rows[each.child]]
            if found:
                new.setdefault(each.child, {}).update(dict.fromkeys(found))
    return rows


def _at(table: Table, places: Places) -> sql.Composable:
    """The rows at these places."""
    return sql.SQL(
        "SELECT t.* FROM {table} t JOIN unnest({leaves}::pg_catalog.oid[],"
        " {places}::pg_catalog.tid[]) AS k (leaf, place)"
        " ON t.tableoid = k.leaf AND t.ctid = k.place"
    ).format(
        table=table.name.sql,
        leaves=sql.Literal([leaf for leaf, _ in places]),
        places=sql.Literal([place for _, place in places]),
    )


def _places(query: sql.Composable, using: str) -> list[tuple[int, str]]:
    return [(int(str(leaf)), str(place)) for leaf, place in _ask(query, using)]


def _ask(query: sql.Composable, using: str) -> Sequence[Sequence[object]]:
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        found: Sequence[Sequence[object]] = cursor.fetchall()
    return found

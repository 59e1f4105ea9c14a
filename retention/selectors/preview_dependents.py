"""What refers to the rows of a table, what becomes of it, and how many rows it is.

Rows of a referring table are counted from there upwards: a foreign key always points at a unique
index, so its parent is found quickly, whether or not the key itself has an index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db.backends.utils import CursorWrapper
from psycopg import sql

from operations.catalogue.identifiers import Identifier, quoted
from operations.catalogue.read import table as read_table
from operations.catalogue.types import ForeignKey, Table
from retention.selectors.dependents import Graph, Meaning, Reference
from retention.selectors.preview_amounts import Amount, counted, estimated
from retention.selectors.preview_budget import Budget, TooSlow
from retention.selectors.preview_pass import Look, candidate, due_row
from retention.selectors.references import refers

SMALL = 1_500
"""Pages of a referring table that are read whole."""
SAMPLE_ROWS = 8_000
"""That are read of a larger one, by whole pages: each is one look into an index."""
QUICK = 4_000
"""Pages of a referring table without an index that are read while others wait for it."""
SECONDS = 0.6
KEEP = 0.2


Limited = Callable[[], AbstractContextManager[CursorWrapper]]


@dataclass(frozen=True)
class Way:
    """The shortest way from the policy's table down to a foreign key."""

    path: tuple[Reference, ...]
    child: Table
    """The table that has the foreign key."""

    @property
    def last(self) -> Reference:
        return self.path[-1]


@dataclass(frozen=True)
class Dependent:
    """A foreign key that leads to the policy's table, directly or through others that go along."""

    key: ForeignKey
    depth: int
    """1 for what refers to the policy's table itself."""
    action: Meaning
    rows: Amount | None
    """Of the referring table; None when there was no time to count them."""
    index: tuple[str, ...]
    """Statements that make the index it lacks; empty when it has one."""

    def to_json(self) -> dict[str, Any]:
        return {
            "table": str(self.key.table),
            "foreign_key": self.key.name,
            "columns": list(self.key.columns),
            "references": str(self.key.references),
            "depth": self.depth,
            "on_delete": self.key.on_delete,
            "action": self.action,
            "rows": self.rows.to_json() if self.rows else None,
            "indexed": not self.index,
            "create_index": list(self.index),
        }


def ways_to(graph: Graph, *, using: str) -> Iterator[Way]:
    """To every foreign key that can be reached, nearest first."""
    seen = {0}
    level: list[tuple[tuple[Reference, ...], int]] = [((), 0)]
    while level:
        below = []
        for path, number in level:
            for each in graph.into(number):
                further = (*path, each)
                yield Way(further, _child(each, graph, using))
                if each.goes_along and each.child is not None and each.child not in seen:
                    seen.add(each.child)
                    below.append((further, each.child))
        level = below


def _child(reference: Reference, graph: Graph, using: str) -> Table:
    if reference.child is not None:
        return graph.tables[reference.child]
    return read_table(reference.key.table, using=using)


def quick_references(ways: Sequence[Way]) -> bool:
    """Whether a row is referred to can be told without reading a large table for it."""
    return all(way.last.key.indexed or way.child.pages <= QUICK for way in ways if _keeps(way))


def _keeps(way: Way) -> bool:
    return len(way.path) == 1 and not way.last.goes_along


def dependents(
    look: Look, graph: Graph, ways: Sequence[Way], budget: Budget, *, using: str
) -> tuple[Dependent, ...]:
    """What `ways` lead to. Never raises TooSlow."""
    told = []
    for number, way in enumerate(ways):
        seconds = min(SECONDS, (budget.left - KEEP) / (len(ways) - number))
        limited = partial(budget.limited, seconds, using=using)
        told.append(
            Dependent(
                key=way.last.key,
                depth=len(way.path),
                action=way.last.meaning,
                rows=_rows(look, graph, way, limited),
                index=() if way.last.key.indexed else tuple(_index(way)),
            )
        )
    return tuple(told)


def _rows(look: Look, graph: Graph, way: Way, limited: Limited) -> Amount | None:
    child = way.child
    share = min(SAMPLE_ROWS / max(child.estimated_rows, 1), 1.0) if child.pages > SMALL else 1.0
    sample = (
        sql.SQL(f"TABLESAMPLE SYSTEM ({share * 100:.9f}) REPEATABLE (1)")
        if share < 1
        else sql.SQL("")
    )
    query = sql.SQL("SELECT count(*) FROM {child} c0 {sample} {joins} WHERE {goes} {group}").format(
        child=child.name.sql,
        sample=sample,
        joins=_joins(way.path, graph),
        # What keeps a row, or forbids to delete it, is asked of those that would go without it.
        goes=due_row(look) if way.last.goes_along else candidate(look),
        group=sql.SQL(
            "GROUP BY c0.tableoid, pg_catalog.substr(pg_catalog.tidsend(c0.ctid), 1, 4)"
            if share < 1
            else ""
        ),
    )
    try:
        with limited() as cursor:
            if share < 1:
                # The rows of a sample are looked up, instead of reading a large table for them.
                cursor.execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
            cursor.execute(query)
            pages = [row[0] for row in cursor.fetchall()]
    except TooSlow:
        return None
    if share == 1:
        return counted(pages[0])
    typical = max(child.estimated_rows, 1) / child.pages
    return estimated(pages, share=share, seen=sum(pages), typical=typical)


def _joins(path: tuple[Reference, ...], graph: Graph) -> sql.Composable:
    """From the referring table, c0, through those between, c1 and so on, up to the policy's, t."""
    joins = []
    for number, each in enumerate(reversed(path)):
        above = "t" if number == len(path) - 1 else f"c{number + 1}"
        parent = graph.tables[each.parent]
        joins.append(
            sql.SQL("JOIN {} {} ON {}").format(
                parent.name.sql,
                Identifier(above),
                refers(each.key, parent, child=f"c{number}", referred=above),
            )
        )
    return sql.SQL(" ").join(joins)


def _index(way: Way) -> Iterator[str]:
    """Without CONCURRENTLY it would keep writers out; on a partitioned table that is not to be had:
    there each partition gets its own, and the table's index then only takes them over."""
    columns = ", ".join(quoted(column) for column in way.last.key.columns)
    child = way.child
    for leaf in child.leaves or (child.name,):
        yield f"CREATE INDEX CONCURRENTLY ON {leaf} ({columns});"
    if child.leaves:
        yield f"CREATE INDEX ON {child.name} ({columns});"

"""Which tables have to have soft delete together, and what becomes of those that stay.

A row that goes into the bin takes the rows along that its DELETE would have taken: so every table
that cascades below an enabled one is enabled too, and those that the operator names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from operations.catalogue.read import table as read_table
from operations.catalogue.types import ForeignKey, Table, TableName

SEVERED = ("set null", "set default")


@dataclass(frozen=True)
class Edge:
    """A foreign key that refers to a table with soft delete."""

    key: ForeignKey
    child: TableName
    """Of a key that is a partition's own, the partitioned table."""
    parent: TableName
    meaning: str
    """`along`, `severed` or `refused`."""


@dataclass
class Closure:
    """The tables, each after one that takes it along."""

    tables: list[Table] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    along: dict[TableName, list[TableName]] = field(default_factory=dict)
    """By parent: the tables that go along by decision, not by their key."""
    others: dict[TableName, Table] = field(default_factory=dict)
    """Tables that refer to these and stay."""
    pointless: list[TableName] = field(default_factory=list)
    """Named, and referring to none of these."""

    @property
    def names(self) -> list[TableName]:
        return [table.name for table in self.tables]

    def edges_to(self, parent: TableName, meaning: str) -> list[Edge]:
        return [each for each in self.edges if (each.parent, each.meaning) == (parent, meaning)]

    def why(self, child: TableName) -> Edge | None:
        """The key by which a table is taken along; None for the one that was asked for."""
        return next(
            (e for e in self.edges if e.child == child != e.parent and e.meaning == "along"), None
        )


class _Reader:
    """Each table is read once."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._read: dict[TableName, Table] = {}

    def table(self, name: TableName) -> Table:
        if name not in self._read:
            self._read[name] = read_table(name, using=self.using)
        return self._read[name]

    def root(self, name: TableName) -> Table:
        """The partitioned table that a partition is of; any other table itself."""
        table = self.table(name)
        while table.partition_of is not None:
            table = self.table(table.partition_of)
        return table


def softdelete_closure(
    root: Table,
    *,
    along: Iterable[TableName] = (),
    decided: dict[TableName, list[TableName]] | None = None,
    using: str = "default",
) -> Closure:
    """The tables whose rows go along with a row of `root`, at any depth.

    Args:
        along: tables whose rows go along with whatever table of these they refer to.
        decided: by parent, what was decided earlier.
    """
    reader, named = _Reader(using), set(along)
    closure, seen, edges = Closure(), set[TableName](), set[tuple[str, TableName, TableName]]()
    waiting = [reader.root(root.name)]
    while waiting:
        table = waiting.pop(0)
        if table.name in seen:
            continue
        seen.add(table.name)
        closure.tables.append(table)
        chosen = named | set((decided or {}).get(table.name, ()))
        for key in sorted(table.referenced_by, key=lambda each: (each.table, each.name)):
            child = reader.root(key.table)
            if (key.name, key.table, table.name) in edges:
                continue
            edges.add((key.name, key.table, table.name))
            meaning = _meaning(key, child.name in chosen)
            closure.edges.append(Edge(key, child.name, table.name, meaning))
            if meaning != "along":
                closure.others[child.name] = child
                continue
            waiting.append(child)
            listed = closure.along.setdefault(table.name, [])
            if key.on_delete != "cascade" and child.name not in listed:
                listed.append(child.name)
    for name in seen:
        closure.others.pop(name, None)
    referring = {e.child for e in closure.edges if e.meaning == "along"}
    closure.pointless = sorted(named - referring)
    return closure


def _meaning(key: ForeignKey, chosen: bool) -> str:
    if key.on_delete == "cascade" or chosen:
        return "along"
    return "severed" if key.on_delete in SEVERED else "refused"

"""Which tables have to have soft delete together, and what becomes of those that stay.

A row that goes into the bin takes the rows along that its DELETE would have taken: so every table
that cascades below an enabled one is enabled too, and those that the operator names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

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


class TableReader:
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
        along: tables whose rows go along with what their keys keep from being deleted; of one that
            keeps nothing from it, with what it refers to otherwise.
        decided: by parent, what was decided earlier.
    """
    walk = _Walk(TableReader(using), set(along), decided or {})
    closure = walk.closure(root)
    severed = {e.child for e in closure.edges if e.meaning == "severed"}
    if forced := severed & set(closure.pointless):
        closure = replace(walk, forced=forced).closure(root)
    return closure


def taken_along(
    table: Table, *, decided: list[TableName], reader: TableReader
) -> list[tuple[Edge, Table]]:
    """The tables whose rows go along with those of this one at once, without those further below.

    Args:
        decided: the tables that do so although their keys do not cascade.
    """
    edges = _Walk(reader, set(), {table.name: decided}).edges(table, Closure())
    return [(each, reader.root(each.child)) for each in edges if each.meaning == "along"]


@dataclass(frozen=True)
class _Walk:
    reader: TableReader
    named: set[TableName]
    decided: dict[TableName, list[TableName]]
    forced: set[TableName] = field(default_factory=set)
    """Named, and nothing but set to NULL."""

    def closure(self, root: Table) -> Closure:
        closure, waiting = Closure(), [self.reader.root(root.name)]
        seen: set[TableName] = set()
        while waiting:
            table = waiting.pop(0)
            if table.name in seen:
                continue
            seen.add(table.name)
            closure.tables.append(table)
            for edge in self.edges(table, closure):
                closure.edges.append(edge)
                if edge.meaning == "along":
                    waiting.append(self.reader.root(edge.child))
                else:
                    closure.others[edge.child] = self.reader.root(edge.child)
        for name in seen:
            closure.others.pop(name, None)
        referring = {e.child for e in closure.edges if e.meaning == "along"}
        closure.pointless = sorted(self.named - referring)
        return closure

    def edges(self, table: Table, closure: Closure) -> list[Edge]:
        """Those that refer to it. A table that goes along does so by all its keys."""
        keys = {
            (key.table, key.name): (key, self.reader.root(key.table).name)
            for key in table.referenced_by
        }
        chosen = set(self.decided.get(table.name, ()))
        for key, child in keys.values():
            keeps = key.on_delete in ("no action", "restrict")
            if child in self.named and (keeps or child in self.forced):
                chosen.add(child)
        children = {child for _, child in keys.values()}
        if chosen & children:
            closure.along[table.name] = sorted(chosen & children)
        return [
            Edge(key, child, table.name, _meaning(key, child in chosen))
            for _, (key, child) in sorted(keys.items(), key=lambda each: each[0])
        ]


def _meaning(key: ForeignKey, chosen: bool) -> str:
    if key.on_delete == "cascade" or chosen:
        return "along"
    return "severed" if key.on_delete in SEVERED else "refused"

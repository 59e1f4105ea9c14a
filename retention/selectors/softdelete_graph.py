"""Tables with soft delete and the foreign keys between them: what goes into the bin together, and
what is in nobody's way when it is destroyed.

What goes along with a row is decided for the whole database when a table is enabled, and not by a
policy: every foreign key that cascades, and those whose table the operator named (`along`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from operations.catalogue.read import table as read_table
from operations.catalogue.types import ForeignKey, Table, TableName
from retention.models import SoftDeleteTable
from retention.selectors.components import components_of
from retention.selectors.dependents import Graph, Meaning, Reference, unfit

_SEVERING = ("set null", "set default")


class Enabled:
    """The tables that have soft delete now, found by oid: they may have got other names."""

    def __init__(self, *, using: str) -> None:
        self.using = using
        found = SoftDeleteTable.objects.filter(
            database=using, disabled_at=None, ready_at__isnull=False
        )
        self._by_oid = {each.table_oid: each for each in found}
        self._read: dict[TableName, Table] = {}

    def of(self, table: Table) -> SoftDeleteTable | None:
        return self._by_oid.get(table.oid)

    def table(self, name: TableName) -> Table:
        """The table of this name, or of a partition the whole. Raises NoSuchTable."""
        if name not in self._read:
            found = read_table(name, using=self.using)
            whole = found.partition_of
            self._read[name] = found if whole is None else self.table(whole)
        return self._read[name]

    def goes_along(self, key: ForeignKey, parent: Table) -> bool:
        """Whether the rows of this foreign key go into the bin with those that they refer to."""
        own = self.of(parent)
        child = self.table(key.table)
        if own is None or self.of(child) is None:
            return False
        return key.on_delete == "cascade" or [child.name.schema, child.name.name] in own.along


def marked_numbers(tables: Sequence[Table], *, using: str) -> frozenset[int]:
    """Which of the tables have soft delete, by their places."""
    enabled = Enabled(using=using)
    return frozenset(number for number, each in enumerate(tables) if enabled.of(each) is not None)


def closure(roots: Iterable[Table], enabled: Enabled) -> tuple[Table, ...]:
    """The tables, and all whose rows go into the bin with theirs; each once."""
    found: dict[TableName, Table] = {}
    waiting = list(roots)
    while waiting:
        table = waiting.pop(0)
        if table.name in found:
            continue
        found[table.name] = table
        waiting += [
            enabled.table(key.table)
            for key in table.referenced_by
            if enabled.goes_along(key, table)
        ]
    return tuple(found.values())


def leaving_graph(roots: Sequence[Table], enabled: Enabled) -> Graph:
    """What is destroyed together. Every row of a deletion is marked by its id, so a foreign key
    only tells in which order rows may go, and which of them must wait for another.

    Whatever refers to a row and does not go itself keeps it: nothing cascades.
    """
    tables = closure(roots, enabled)

    def means(key: ForeignKey, child: int | None) -> Meaning:
        return "keeps the row" if child is None else "goes along"

    references = tuple(
        Reference(key, parent, child, means(key, child))
        for parent, key, child in _keys(tables, enabled)
    )
    return _graph(tables, references)


@dataclass(frozen=True)
class Entering:
    """What goes into the bin together, from an active row on."""

    graph: Graph
    severed: tuple[Reference, ...]
    """Of rows that stay: their reference is set to NULL, or to its default."""


def entering_graph(root: Table, enabled: Enabled) -> Entering:
    """As custody.soft_delete would take it; of a table with soft delete only active rows count."""
    tables = closure([root], enabled)
    references, severed = [], []
    for parent, key, child in _keys(tables, enabled):
        active = enabled.of(enabled.table(key.table)) is not None
        along = enabled.goes_along(key, tables[parent])
        if not along and key.on_delete in _SEVERING:
            severed.append(Reference(key, parent, None, "keeps the row", active))
        else:
            means: Meaning = "goes along" if along else "keeps the row"
            references.append(Reference(key, parent, child, means, active))
    return Entering(_graph(tables, tuple(references)), tuple(severed))


def _keys(
    tables: Sequence[Table], enabled: Enabled
) -> Iterator[tuple[int, ForeignKey, int | None]]:
    """Every foreign key into one of the tables: that table's number, the key, the child's."""
    numbers = {table.name: number for number, table in enumerate(tables)}
    for parent, table in enumerate(tables):
        for key in table.referenced_by:
            yield parent, key, numbers.get(enabled.table(key.table).name)


def _graph(tables: tuple[Table, ...], references: tuple[Reference, ...]) -> Graph:
    bonds = [(e.child, e.parent) for e in references if e.child is not None and e.inside]
    return Graph(
        tables=tables,
        named=frozenset(range(len(tables))),
        references=references,
        components=components_of(len(tables), bonds),
        refusals=tuple(reason for table in tables for reason in unfit(table)),
    )

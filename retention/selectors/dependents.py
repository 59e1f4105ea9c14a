"""Which tables' rows go along with the rows of a policy, as the catalogue has their foreign keys.

Invariant: what the policy does not name is not destroyed, and not changed either. A foreign key
that would CASCADE or SET NULL into a table that is not named is a refusal; any other reference
from there keeps the row that is referred to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import ForeignKey, Table, TableName
from retention.selectors.components import components_of

Meaning = Literal["goes along", "keeps the row", "refused"]
_HARMLESS = ("no action", "restrict")


@dataclass(frozen=True)
class Reference:
    """A foreign key that points at a table of the graph, and what it means for a purge."""

    key: ForeignKey
    parent: int
    """The number of the table that is referred to."""
    child: int | None
    """The number of the table whose rows refer; None when it is no table of the graph."""
    meaning: Meaning
    active: bool = False
    """Rows of the child that are in the bin do not count."""

    @property
    def goes_along(self) -> bool:
        return self.meaning == "goes along"

    @property
    def inside(self) -> bool:
        """Both rows may go in one purge. Besides what goes along, that is a reference of the
        policy's own table to a row that goes along with it; but rows of that table which refer to
        each other, when it is not named, keep each other.
        """
        return self.child is not None and (self.goes_along or self.parent != self.child)


@dataclass(frozen=True)
class Graph:
    """The policy's table (number 0) and the tables that it names, by number."""

    tables: tuple[Table, ...]
    named: frozenset[int]
    """Their rows go along with what they refer to: the policy's own table only if it is named."""
    references: tuple[Reference, ...]
    """Every foreign key that points at one of them, from wherever."""
    components: tuple[tuple[int, ...], ...]
    """Tables that refer to each other in a cycle are together; children come first."""
    refusals: tuple[str, ...]
    """Why no purge may go, each with what to do; empty when it may."""

    @property
    def root(self) -> Table:
        return self.tables[0]

    @cached_property
    def along(self) -> tuple[Reference, ...]:
        """What leads from a row to those that go along with it."""
        return tuple(each for each in self.references if each.goes_along)

    def into(self, number: int) -> tuple[Reference, ...]:
        """The references to rows of this table."""
        return tuple(each for each in self.references if each.parent == number)

    @property
    def unindexed(self) -> tuple[ForeignKey, ...]:
        """Each makes every delete of a row that is referred to read the whole table."""
        return tuple(each.key for each in self.references if not each.key.indexed)


def dependents_graph(*, table: Table, dependents: Sequence[Sequence[str]], using: str) -> Graph:
    """What a purge of `table` takes along when these tables ([schema, name]) are named.

    Raises nothing: what stands in the way is in `refusals`.
    """
    names = list(dict.fromkeys(TableName(*each) for each in dependents))
    tables, missing = [table], []
    for name in names:
        if name == table.name:
            continue
        try:
            tables.append(read_table(name, using=using))
        except NoSuchTable as error:
            missing.append(f"{error} The policy names it among the tables that go along.")
    named = frozenset(number for number, each in enumerate(tables) if each.name in names)
    references = tuple(_references(tables, named))
    bonds = [(e.child, e.parent) for e in references if e.child is not None and e.inside]
    return Graph(
        tables=tuple(tables),
        named=named,
        references=references,
        components=components_of(len(tables), bonds),
        refusals=(*missing, *_refusals(tables, named, references)),
    )


def _references(tables: list[Table], named: frozenset[int]) -> Iterator[Reference]:
    numbers: dict[TableName, int] = {}
    for number, each in enumerate(tables):
        # A foreign key of one partition alone: its rows are the partitioned table's.
        numbers.update(dict.fromkeys((each.name, *each.leaves), number))
    for parent, table in enumerate(tables):
        for key in table.referenced_by:
            child = numbers.get(key.table)
            yield Reference(key, parent, child, _meaning(key, child in named))


def _meaning(key: ForeignKey, named: bool) -> Meaning:
    if named:
        return "goes along"
    return "keeps the row" if key.on_delete in _HARMLESS else "refused"


def _refusals(
    tables: list[Table], named: frozenset[int], references: tuple[Reference, ...]
) -> Iterator[str]:
    reached = _reached(references)
    families: dict[TableName, TableName] = {}
    for number, table in enumerate(tables):
        yield from unfit(table)
        if number:
            yield from _unfit_dependent(table)
        if number in named and number not in reached:
            yield (
                f"The policy names {table.name} among the tables that go along, but no foreign key "
                f"leads from it to {tables[0].name}. Take it out, or name the tables in between."
            )
        for name in (table.name, *table.leaves):
            if name in families:
                yield f"{table.name} and {families[name]} share the partition {name}: name one."
                break
            families[name] = table.name
    if named:
        yield from _without_key(tables[0])
    for each in references:
        yield from _unfit_reference(each, tables)


def _reached(references: tuple[Reference, ...]) -> set[int]:
    """The tables of which rows can go along."""
    reached: set[int] = set()
    waiting = [0]
    while waiting:
        parent = waiting.pop()
        for each in references:
            if each.parent == parent and each.goes_along and each.child not in reached:
                assert each.child is not None
                reached.add(each.child)
                waiting.append(each.child)
    return reached


def unfit(table: Table) -> Iterator[str]:
    """Why rows of the table cannot be destroyed whole from here, each with what to do."""
    if table.kind == "foreign":
        yield f"{table.name} is a foreign table: purge it where its rows are."
    if table.heirs:
        heirs = ", ".join(str(heir) for heir in table.heirs)
        yield (
            f"{table.name} has rows in tables that inherit from it ({heirs}): "
            "give each of them a policy, or make it a partitioned table."
        )
    if table.row_security:
        yield (
            f"Row-level security hides rows of {table.name} from the console, so a purge would "
            "be incomplete. Give the console's role BYPASSRLS, or exempt it."
        )


def _unfit_dependent(table: Table) -> Iterator[str]:
    if table.partition_of is not None:
        yield (
            f"{table.name} is a partition of {table.partition_of}: name the whole table among "
            "those that go along."
        )


def _without_key(table: Table) -> Iterator[str]:
    if table.key is None:
        yield (
            f"{table.name} has no primary key, nor a unique key without NULL: its rows cannot be "
            "kept apart while others go along with them. Give it one."
        )


def _unfit_reference(each: Reference, tables: list[Table]) -> Iterator[str]:
    key, table = each.key, tables[each.parent]
    if each.meaning == "refused":
        named = (
            "name it among the tables that go along"
            if each.parent or each.child is None
            else ("name the table itself among those that go along")
        )
        yield (
            f"Deleting from {table.name} would {key.on_delete} into {key.table} ({key.name}), "
            f"which the policy does not cover. To destroy these rows too, {named}; else give "
            f"{key.table} a policy of its own that comes first, or make that foreign key RESTRICT."
        )
    if each.goes_along and table.partition_of is None and key.references != table.name:
        yield (
            f"{key.table} refers to {key.references}, a partition of {table.name} ({key.name}), "
            f"and not to the whole table. Give {key.table} a policy of its own that comes first."
        )
    if each.goes_along and key.temporal:
        yield (
            f"{key.table} refers to {table.name} by periods ({key.name}): a row of it may belong "
            f"to several. Give {key.table} a policy of its own that comes first."
        )

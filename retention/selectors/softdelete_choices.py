"""What an operator can choose when soft delete is enabled on a table. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table, TableName
from retention.models import SoftDeleteTable
from retention.selectors.queries import rows
from retention.selectors.softdelete_cautions import unique_cautions, unique_words
from retention.selectors.softdelete_closure import Closure, Edge, softdelete_closure
from retention.selectors.softdelete_unique import Unique, unique_obstacle, uniques

MOST = 100
"""Tables that are looked at: a page is no place for more."""


@dataclass(frozen=True)
class AlongChoice:
    """A table whose rows go along only if somebody decides so."""

    table: Table
    edges: tuple[Edge, ...]
    """Its foreign keys to the tables with soft delete."""
    decided: bool
    """Its rows go along already."""


@dataclass(frozen=True)
class UniqueChoice:
    unique: Unique
    stays: str
    """What it means when it stays as it is."""
    warnings: tuple[str, ...]
    """What it means when it looks at active rows only."""
    obstacle: str
    """Why it cannot; empty when it can."""

    @property
    def value(self) -> str:
        return f"{self.unique.table.schema}.{self.unique.name}"


@dataclass(frozen=True)
class Choices:
    table: Table
    entry: SoftDeleteTable | None
    """None: it has no soft delete yet."""
    cascading: tuple[tuple[Table, Edge], ...]
    """Tables that go along whatever is chosen, by their keys."""
    along: tuple[AlongChoice, ...]
    uniques: tuple[UniqueChoice, ...]
    roles: tuple[str, ...]
    """From which policies could hide deleted rows of the table."""

    @property
    def current(self) -> SoftDeleteTable:
        """The terms as they are, or as they are for a new table."""
        return self.entry or SoftDeleteTable()


def softdelete_choices(name: TableName | str, *, using: str = "default") -> Choices:
    """Of the table, of all that cascades below it, and of what could go along.

    Raises:
        NoSuchTable ...: as the catalogue does.
    """
    table = read_table(name, using=using)
    known = {
        row.table_oid: row for row in SoftDeleteTable.objects.using(using).filter(disabled_at=None)
    }
    decided = {row.table: [TableName(*each) for each in row.along] for row in known.values()}
    base = softdelete_closure(table, decided=decided, using=using)
    widest = _widest(table, base, decided, using)
    along = _along(base, widest, decided)
    shown = [*base.tables, *(each.table for each in along if each.table.name not in base.names)]
    keys = {each.oid: each.key for each in shown}
    entry = known.get(table.oid)
    return Choices(
        table,
        entry,
        tuple(
            (each, edge)
            for each in base.tables
            if (edge := base.why(each.name)) is not None and edge.key.on_delete == "cascade"
        ),
        along,
        tuple(
            UniqueChoice(
                unique,
                unique_words(unique),
                tuple(unique_cautions(unique)),
                unique_obstacle(unique, keys.get(unique.nodes[0]["of"])),
            )
            for unique in uniques(list(keys), using=using)
        ),
        _roles(table, entry, using),
    )


def _widest(
    table: Table, closure: Closure, decided: dict[TableName, list[TableName]], using: str
) -> Closure:
    """With all along that would keep a record from being deleted, as far as that leads."""
    named: set[TableName] = set()
    while len(closure.tables) < MOST:
        keeping = {each.child for each in closure.edges if each.meaning == "refused"} - named
        if not keeping:
            break
        named |= keeping
        closure = softdelete_closure(table, along=named, decided=decided, using=using)
    return closure


def _along(
    base: Closure, widest: Closure, decided: dict[TableName, list[TableName]]
) -> tuple[AlongChoice, ...]:
    tables = {each.name: each for each in [*widest.tables, *widest.others.values()]}
    before = {child for parent in base.names for child in decided.get(parent, ())}
    edges: dict[TableName, list[Edge]] = {}
    for edge in widest.edges:
        if edge.child in tables:
            edges.setdefault(edge.child, []).append(edge)
    found = []
    for child, keys in edges.items():
        keeps = [each for each in keys if each.key.on_delete in ("no action", "restrict")]
        # Of a table that goes along by another key, one that is set to NULL stays so.
        if not keeps and any(each.meaning == "along" for each in keys) and child not in before:
            continue
        found.append(AlongChoice(tables[child], tuple(keys), child in before))
    return tuple(found)


def _roles(table: Table, entry: SoftDeleteTable | None, using: str) -> tuple[str, ...]:
    found = [
        row["name"]
        for row in rows("softdelete_roles", {"oid": table.oid}, using=using)
        if row["name"] != "public" and not (row["above"] or row["owns"] or row["console"])
    ]
    kept: Sequence[str] = entry.hidden_from if entry is not None else ()
    return tuple(dict.fromkeys([*found, *kept]))

"""What an operator should know before soft delete is enabled."""

from __future__ import annotations

from typing import Any

from operations.catalogue.identifiers import quoted
from operations.catalogue.types import Table, TableName
from retention.selectors.softdelete_closure import Closure, Edge
from retention.selectors.softdelete_steps import COLUMNS
from retention.selectors.softdelete_unique import Unique, shape_parts


def table_cautions(table: Table, adopted: bool) -> list[str]:
    """Of one table."""
    found = []
    if adopted and table.column("deleted_at") is not None:
        found.append(
            f"{table.name} has a deleted_at of its own, which is used and stays when soft delete "
            "is disabled. Rows in which it is set already are not active, and belong to no "
            "deletion: nothing can restore or destroy them but the application."
        )
    if table.kind == "partitioned":
        names = ", ".join(COLUMNS)
        found.append(
            f"A table that is to become a partition of {table.name} needs its columns {names} "
            "before ATTACH PARTITION; one that is made as a partition has them."
        )
    return found


def closure_cautions(closure: Closure) -> list[str]:
    """Of the tables together: keys that are slow to follow, told once for all partitions."""
    slow: dict[tuple[TableName, TableName, tuple[str, ...]], list[Edge]] = {}
    for edge in closure.edges:
        if not edge.key.indexed:
            slow.setdefault((edge.child, edge.parent, edge.key.columns), []).append(edge)
    found = []
    for (_, parent, names), edges in slow.items():
        columns, first = ", ".join(quoted(name) for name in names), edges[0].key
        more = f" and {len(edges) - 1} more" if len(edges) > 1 else ""
        found.append(
            f"No index of {first.table}{more} begins with {columns} ({first.name}): each deletion "
            f"of {parent} reads all of it. CREATE INDEX CONCURRENTLY ON {first.table} ({columns});"
        )
    return found


def ancestors(closure: Closure, enabled: set[TableName]) -> list[tuple[Table, TableName, str]]:
    """Tables without soft delete whose DELETE takes rows of these with it: child, parent, key."""
    inside = set(closure.names) | enabled
    return [
        (table, key.references, key.name)
        for table in closure.tables
        for key in table.foreign_keys
        if key.on_delete == "cascade" and key.references not in inside
    ]


def ancestor_caution(child: Table, parent: TableName, key: str) -> str:
    """Without capture: the rows are gone with their parent."""
    return (
        f"A DELETE of a row of {parent} destroys its rows of {child.name} ({key} cascades), those "
        f"in the bin too: manage.py softdelete_enable {parent} covers both."
    )


def ancestor_obstacle(child: Table, parent: TableName, key: str) -> str:
    """With capture: what is kept of a child cannot refer to a parent that is gone."""
    return (
        f"A DELETE of a row of {parent} takes rows of {child.name} along ({key} cascades), and "
        f"those cannot stay without it: run manage.py softdelete_enable {parent} "
        f"--capture-deletes, which covers {child.name}, or leave --capture-deletes out."
    )


def unique_words(unique: Unique) -> str:
    """Of a constraint that stays as it is."""
    columns = ", ".join(unique.columns)
    return (
        f"{quoted(unique.name)} of {unique.table} ({columns}) stays: a deleted row keeps its value "
        "taken."
    )


def unique_cautions(unique: Unique) -> list[str]:
    """Of one that is to look at active rows only."""
    head, columns = unique.head, ", ".join(unique.columns)
    _, predicate = shape_parts(head["shape"])
    over = f"({predicate}) AND deleted_at IS NULL" if predicate else "deleted_at IS NULL"
    name = f"{quoted(unique.name)} of {unique.table}"
    found = [
        (
            f"{name}: ON CONFLICT ({columns}) fails from then on, unless it says ON CONFLICT "
            f"({columns}) WHERE {over}; and a record whose value was taken meanwhile is restored "
            "only after a choice."
        ),
    ]
    if unique.is_constraint:
        found.append(
            f"{name}: it is an index then and no constraint: ON CONFLICT ON CONSTRAINT "
            f"{quoted(unique.name)} fails, and no foreign key can refer to it."
        )
    if head["deferrable"]:
        found.append(
            f"{name}: it is checked at once and not at COMMIT any more, which a partial index "
            "cannot put off."
        )
    return found


def guard_cautions(closure: Closure, facts: dict[int, dict[str, Any]]) -> list[str]:
    """Tables that stay, and get a guard: whoever may make a trigger need not be able to drop it."""
    found = []
    for name, child in closure.others.items():
        own = facts[child.oid]
        parents = sorted({str(edge.parent) for edge in closure.edges if edge.child == name})
        if parents and not own["owned"]:
            found.append(
                f"{name} refers to {', '.join(parents)} and gets a guard, which only its owner can "
                f"take away again: before softdelete_disable, GRANT {quoted(own['owner'])} TO "
                f"{quoted(own['role'])};"
            )
    return found

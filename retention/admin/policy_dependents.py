"""The tables that refer to a policy's, level by level, and what each means for its rows."""

from __future__ import annotations

from dataclasses import dataclass

from operations.admin.table_words import rows_words
from operations.catalogue.read import table as read_table
from operations.catalogue.types import ForeignKey, Table, TableName

MOST = 100
"""Tables that are looked at: a page is no place for more."""


@dataclass(frozen=True)
class Dependent:
    table: TableName
    level: int
    """1 for those that refer to the policy's own table."""
    via: str
    """Its columns that refer, and what to."""
    rows: str
    otherwise: str
    """What happens when it does not go along."""
    unindexed: bool
    """No index of it begins with the columns that refer: each batch has to read it whole."""


def dependents(table: Table, *, using: str = "default") -> list[Dependent]:
    """Nearest first; a table that several ways lead to stands where it is met first.

    The table itself is among them when its rows refer to each other.
    """
    found: list[Dependent] = []
    seen: set[TableName] = set()
    level = [table]
    depth = 0
    while level and len(found) < MOST:
        depth += 1
        following = []
        for parent in level:
            for key in parent.referenced_by:
                if key.table in seen:
                    continue
                child = _whole(key.table, using)
                if child.name in seen:
                    continue
                seen |= {child.name, *child.leaves}
                if child.name != table.name:
                    following.append(child)
                found.append(_dependent(child, key, depth))
        level = following
    return found


def _whole(name: TableName, using: str) -> Table:
    """The table; of a partition what it is a partition of: its rows go along as a whole."""
    found = read_table(name, using=using)
    while found.partition_of is not None:
        found = read_table(found.partition_of, using=using)
    return found


def _dependent(child: Table, key: ForeignKey, level: int) -> Dependent:
    if key.on_delete in ("no action", "restrict"):
        otherwise = f"Otherwise rows that it still refers to are kept ({key.on_delete})."
    else:
        otherwise = (
            f"Otherwise the purge is refused: deleting would {key.on_delete} into a table "
            "that the policy does not name."
        )
    return Dependent(
        table=child.name,
        level=level,
        via=f"{', '.join(key.columns)} refers to {key.references}",
        rows=rows_words(child),
        otherwise=otherwise,
        unindexed=not key.indexed,
    )

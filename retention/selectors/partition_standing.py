"""Where a partition stands that a run detaches: by its oid, whatever it is called meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from operations.catalogue.types import TableName
from retention.selectors.partition_units import Unit
from retention.selectors.queries import rows

Place = Literal["attached", "leaving", "detached", "gone"]


@dataclass(frozen=True)
class Standing:
    place: Place
    """`leaving`: its detaching has begun, and was not finished. `gone`: dropped, or it belongs to
    another table now, or its own is gone."""
    table: TableName
    """Its name now."""
    parent: TableName
    checks: tuple[str, ...] = ()
    """Names of its CHECK constraints."""


@dataclass(frozen=True)
class DetachedLeaf:
    oid: int
    name: TableName
    pages: int
    bytes: int
    """Heap, TOAST and indexes."""
    identity: str
    """Another text as soon as its rows may be others than when it was guarded."""


@dataclass(frozen=True)
class User:
    """A transaction that uses a table."""

    transaction: str
    pid: int | None
    """None for a prepared transaction."""
    role: str
    began: datetime | None
    """None where the console may not see it."""

    def __str__(self) -> str:
        since = f" since {self.began:%H:%M:%S} UTC" if self.began else ""
        if self.pid is None:
            return f"a prepared transaction ({self.transaction})"
        return f"process {self.pid} of {self.role} in its transaction{since}"


def standing(unit: Unit, *, using: str) -> Standing:
    found = rows("partition_standing", {"oid": unit.oid, "parent": unit.parent_oid}, using=using)
    if not found:
        return Standing("gone", unit.table, unit.parent)
    row = found[0]
    place: Place = "gone"
    if row["belongs_to"] is None:
        place = "detached"
    elif row["belongs_to"] == unit.parent_oid:
        place = "leaving" if row["leaving"] else "attached"
    return Standing(
        place,
        TableName(row["schema"], row["name"]),
        TableName(row["parent_schema"], row["parent_name"]),
        tuple(row["checks"]),
    )


def detached_leaves(unit: Unit, *, using: str) -> list[DetachedLeaf]:
    """Those of a unit, by oid; itself when it is one."""
    return [
        DetachedLeaf(
            row["oid"],
            TableName(row["schema"], row["name"]),
            row["pages"],
            row["bytes"],
            row["identity"],
        )
        for row in rows("partition_leaves", {"oid": unit.oid}, using=using)
    ]


def nodes(leaves: Sequence[DetachedLeaf]) -> list[list[Any]]:
    """What tells whether any of them was changed, as JSON."""
    return [[leaf.oid, leaf.identity] for leaf in leaves]


def users_of(oids: Sequence[int], *, using: str) -> list[User]:
    """Other sessions' transactions under way that have touched one of these tables."""
    found = rows("partition_users", {"oids": list(oids)}, using=using)
    return [User(**row) for row in found]

"""Which partitions have expired as a whole, and which of these can be dropped whole.

A *unit* is a partition by ranges of the age column alone, with everything below it, that ends
before the cutoff: no row in it can be younger, and none can be without age, because only a default
partition takes NULL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import connections, transaction
from psycopg import sql

from operations.catalogue.types import TableName
from operations.session import set_local
from retention.selectors.audited import HISTORY
from retention.selectors.due import AGE_TYPES, DueRows, age_column, moment
from retention.selectors.queries import Row
from retention.selectors.queries import rows as ask

OLDER_STAYS = "an older month of the history stays"
PRINTED = {"TimeZone": "UTC", "DateStyle": "ISO, YMD"}
"""Settings under which PostgreSQL prints bounds here, and under which they are read again."""
# A date's printed form is never a number: it stands in quotes, or it is one of two words.
_BOUND = re.compile(
    r"FOR VALUES FROM \((?:MINVALUE|'(?P<begin>(?:[^']|'')+)')\) TO \('(?P<end>(?:[^']|'')+)'\)"
)


@dataclass(frozen=True)
class Unit:
    """An expired partition, a leaf or a whole tree of them."""

    oid: int
    table: TableName
    parent_oid: int
    parent: TableName
    """The partitioned table that it is detached from."""
    begin: str | None
    """Its lower bound as PRINTED makes it; None: MINVALUE."""
    end: str
    """Its upper bound."""
    leaves: tuple[TableName, ...]
    rows: int | None
    """From statistics; None when never analysed."""
    bytes: int
    """On disk: heaps, TOAST and indexes."""
    obstacle: str = ""
    """Why it cannot be dropped whole; empty when it can."""

    @property
    def bounds(self) -> sql.Composable:
        """FOR VALUES FROM ... TO ..."""
        begin = sql.SQL("MINVALUE") if self.begin is None else sql.Literal(self.begin)
        return sql.SQL("FOR VALUES FROM ({}) TO ({})").format(begin, sql.Literal(self.end))

    def to_json(self) -> dict[str, Any]:
        """What carrying it out needs."""
        return {
            "oid": self.oid,
            "table": [self.table.schema, self.table.name],
            "parent_oid": self.parent_oid,
            "parent": [self.parent.schema, self.parent.name],
            "begin": self.begin,
            "end": self.end,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Unit:
        table, parent = TableName(*data["table"]), TableName(*data["parent"])
        oids, ends = (data["oid"], data["parent_oid"]), (data["begin"], data["end"])
        return cls(oids[0], table, oids[1], parent, *ends, (), None, 0)


def partition_units(rows: DueRows, *, using: str) -> list[Unit]:
    """The expired units of a partitioned table, the oldest first; of another table none."""
    if rows.table.kind != "partitioned" or age_column(rows).base_type not in AGE_TYPES:
        return []
    with transaction.atomic(using=using):
        set_local(PRINTED, using=using)
        nodes = ask("partition_tree", {"oid": rows.table.oid}, using=using)
        tree = _Tree(nodes, rows, using)
        return tree.units()


def in_order(units: list[Unit], table: TableName) -> list[Unit]:
    """Months of a history go the oldest first, and none before the one before it.

    Were a row deleted in a month that went, an older one that stayed would show it again.
    """
    if table.schema != HISTORY:
        return units
    found: list[Unit] = []
    for unit in units:
        stays = bool(found and found[-1].obstacle) and not unit.obstacle
        found.append(replace(unit, obstacle=OLDER_STAYS) if stays else unit)
    return found


class _Tree:
    def __init__(self, nodes: list[Row], rows: DueRows, using: str) -> None:
        self._rows, self._using = rows, using
        self._column = age_column(rows)
        self._nodes = {node["oid"]: node for node in nodes}
        self._below: dict[int, list[Row]] = {}
        for node in nodes:
            self._below.setdefault(node["parent"], []).append(node)

    def units(self) -> list[Unit]:
        bounded = [
            (node, found)
            for node in self._nodes.values()
            if node["parent"] is not None
            and self._by_age(self._nodes[node["parent"]])
            and (found := _BOUND.fullmatch(node["bound"])) is not None
        ]
        over = self._over([_unquoted(found["end"]) for _, found in bounded])
        ended = {bounded[place][0]["oid"]: bounded[place][1] for place in over}
        if not ended:
            return []
        living = self._living()
        return [
            self._unit(self._nodes[oid], found, living)
            for oid, found in ended.items()
            if not any(above in ended for above in self._above(oid))
        ]

    def _by_age(self, node: Row) -> bool:
        return bool(node["by_one_range"]) and node["by_column"] == self._column.name

    def _over(self, ends: list[str]) -> list[int]:
        """Which of these upper bounds are not after the cutoff, the oldest first."""
        kind = sql.SQL(self._column.base_type)
        query = sql.SQL(
            "SELECT b.place - 1 FROM unnest(%s::text[]) WITH ORDINALITY AS b (bound, place)"
            " WHERE b.bound::pg_catalog.{kind} <= {moment}"
            " ORDER BY b.bound::pg_catalog.{kind}, b.place"
        ).format(kind=kind, moment=moment(self._rows, self._column.base_type))
        with connections[self._using].cursor() as cursor:
            cursor.execute(query, [ends])
            return [row[0] for row in cursor.fetchall()]

    def _living(self) -> set[TableName]:
        """The leaves that could hold a row from the cutoff on, as the planner prunes them.

        A second opinion, and PostgreSQL's own: what it would read for such a row never goes whole,
        however its bound was read here.
        """
        set_local(
            {"enable_partition_pruning": "on", "constraint_exclusion": "off"}, using=self._using
        )
        query = sql.SQL("EXPLAIN (FORMAT JSON, VERBOSE) SELECT FROM {} t WHERE {} >= {}").format(
            self._rows.table.name.sql,
            sql.Identifier("t", self._column.name),
            moment(self._rows, self._column.base_type),
        )
        with connections[self._using].cursor() as cursor:
            cursor.execute(query)
            return set(_scanned(cursor.fetchone()[0][0]["Plan"]))

    def _above(self, oid: int) -> Iterator[int]:
        while (oid := self._nodes[oid]["parent"]) is not None:
            yield oid

    def _with_below(self, node: Row) -> list[Row]:
        below = self._below.get(node["oid"], [])
        return [node, *(each for child in below for each in self._with_below(child))]

    def _unit(self, node: Row, found: re.Match[str], living: set[TableName]) -> Unit:
        parent = self._nodes[node["parent"]]
        parts = self._with_below(node)
        leaves = [part for part in parts if part["kind"] != "p"]
        sizes = [leaf["rows"] for leaf in leaves]
        return Unit(
            oid=node["oid"],
            table=_name(node),
            parent_oid=parent["oid"],
            parent=_name(parent),
            begin=_unquoted(found["begin"]) if found["begin"] is not None else None,
            end=_unquoted(found["end"]),
            leaves=tuple(_name(leaf) for leaf in leaves),
            rows=None if None in sizes else sum(sizes),
            bytes=sum(leaf["bytes"] for leaf in leaves),
            obstacle=self._obstacle(parent, parts, living),
        )

    def _obstacle(self, parent: Row, parts: Sequence[Row], living: set[TableName]) -> str:
        if self._rows.keep is not None:
            return "the policy's condition is asked of every row"
        if self._rows.table.referenced_by:
            key = self._rows.table.referenced_by[0]
            return f"rows of {key.table} may refer to it ({key.name})"
        if parent["has_default"]:
            return f"{_name(parent)} has a default partition, and then none is detached unnoticed"
        if not parent["owned"]:
            return _foreign(parent)
        # Subscribers of a history have a term of their own for it.
        own = self._rows.table.name.schema == HISTORY
        for part in parts:
            if why := _part_obstacle({**part, "published": ""} if own else part, living):
                return why
        return ""


def _part_obstacle(part: Row, living: set[TableName]) -> str:
    name = _name(part)
    obstacles = (
        (part["leaving"], f"somebody is detaching {name}"),
        (name in living, f"{name} may hold younger rows"),
        (part["kind"] not in ("r", "p"), f"{name} is a foreign table"),
        (not part["owned"], _foreign(part)),
        (not part["heap"], f"{name} does not keep its rows in heap pages"),
        (
            part["referenced"],
            f"rows of another table may refer to {name} ({part['referenced']})",
        ),
        (part["fires"], f"the trigger {part['fires']} of {name} is to see every DELETE"),
        (part["rewritten"], f"the rule {part['rewritten']} of {name} is to see every DELETE"),
        (
            part["published"],
            f"subscribers of the publication {part['published']} learn of a DELETE only",
        ),
        (part["needed_by"], f"{part['needed_by']} depends on {name}"),
    )
    return next((why for stands, why in obstacles if stands), "")


def _foreign(node: Row) -> str:
    return f"{_name(node)} belongs to {node['owner']}, and the console is no member of that role"


def _name(node: Row) -> TableName:
    return TableName(node["schema"], node["name"])


def _unquoted(text: str) -> str:
    return text.replace("''", "'")


def _scanned(plan: dict[str, Any]) -> Iterator[TableName]:
    if "Relation Name" in plan:
        yield TableName(plan["Schema"], plan["Relation Name"])
    for below in plan.get("Plans", []):
        yield from _scanned(below)

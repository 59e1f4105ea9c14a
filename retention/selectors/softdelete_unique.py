"""Unique constraints over active rows only, and back: how each is made again exactly.

A constraint stays as it is unless the operator names it. Then a partial unique index is built
beside the writers, and takes the constraint's place and name in one short transaction, so that
nothing is ever unguarded and an application that knows the name knows it still.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from operations.catalogue.identifiers import Identifier, quoted
from operations.catalogue.types import Key, TableName
from retention.selectors.queries import Row, rows
from retention.selectors.softdelete_steps import Step

_ACTIVE = "deleted_at IS NULL"
_QUOTED_OR_NESTING = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]| WHERE """)


@dataclass(frozen=True)
class Unique:
    """A unique constraint or index of a table, with its partitions' below it."""

    table: TableName
    nodes: tuple[Row, ...]
    """Of the tree, the table's own first."""

    @property
    def head(self) -> Row:
        return self.nodes[0]

    @property
    def name(self) -> str:
        return str(self.head["name"])

    @property
    def columns(self) -> list[str]:
        return list(self.head["columns"])

    @property
    def is_constraint(self) -> bool:
        return self.head["constraint"] is not None

    @property
    def active(self) -> bool:
        """It looks at active rows only."""
        return _ACTIVE in (self.head["predicate"] or "")

    def entry(self) -> dict[str, Any]:
        """For `active_unique`: all that is needed to have it back."""
        head = self.head
        return {
            "name": self.name,
            "definition": head["constraint_definition"] or f"UNIQUE INDEX {head['shape']}",
            "columns": self.columns,
            "constraint": self.is_constraint,
            "predicate": head["predicate"],
            "deferrable": head["deferrable"],
            "deferred": head["deferred"],
            "clustered": head["clustered"],
            "nodes": [
                {
                    key: node[key]
                    for key in (
                        "table_oid", "schema", "table", "name", "leaf", "shape", "tablespace",
                        "index_comment", "constraint_comment", "constraint_definition",
                    )
                }
                for node in self.nodes
            ],
        }  # fmt: skip


def uniques(oids: list[int], *, using: str) -> list[Unique]:
    """Those of the tables, primary keys left out."""
    trees: dict[int, list[Row]] = {}
    for row in rows("softdelete_unique", {"oids": oids}, using=using):
        trees.setdefault(row["of"], []).append(row)
    return [
        Unique(TableName(tree[0]["schema"], tree[0]["table"]), tuple(tree))
        for tree in trees.values()
    ]


def unique_obstacle(unique: Unique, key: Key | None) -> str:
    """Why it cannot look at active rows only; empty when it can.

    Args:
        key: what names the table's rows.
    """
    name = f"{quoted(unique.name)} of {unique.table}"
    head = unique.head
    if unique.head["referenced_by"]:
        return (
            f"{name} is what foreign keys refer to ({', '.join(head['referenced_by'])}), and those "
            "cannot refer to active rows only: leave it out of --unique-active."
        )
    if key is not None and key.name == unique.name:
        return f"{name} is the only key that names its rows, deleted ones too: it stays."
    if head["temporal"]:
        return f"{name} is WITHOUT OVERLAPS, which a partial index cannot be."
    if any(node["identity"] for node in unique.nodes):
        return (
            f"{name} is the replica identity of {unique.table}: choose another first (ALTER TABLE "
            f"{unique.table} REPLICA IDENTITY ...)."
        )
    if not head["valid"]:
        return f"{name} is not valid: REINDEX INDEX CONCURRENTLY it first."
    return ""


def shape_parts(shape: str) -> tuple[str, str]:
    """The part before the predicate, and the predicate (empty for none)."""
    depth = 0
    for found in _QUOTED_OR_NESTING.finditer(shape):
        piece = found.group()
        if piece == "(":
            depth += 1
        elif piece == ")":
            depth -= 1
        elif piece == " WHERE " and depth == 0:
            return shape[: found.start()], shape[found.end() :]
    return shape, ""


def active_steps(unique: Unique) -> list[Step]:
    """From the constraint to the partial index; nothing when it looks at active rows already."""
    if unique.active:
        return _leftovers(unique)
    entry, build = unique.entry(), Build(unique, "active")
    return [
        *build.leaves(entry, lambda node: definition(node, over_active=True), unique=entry),
        _swap_in(unique, build, entry),
    ]


def _leftovers(unique: Unique) -> list[Step]:
    """Of a way back that was not gone to its end: they would guard all rows."""
    return [
        Step(
            unique.table,
            f"drops {name}, with which {quoted(unique.name)} was to look at all rows again",
            (
                sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(
                    Identifier(node["schema"], name)
                ),
            ),
            concurrently=True,
        )
        for node in unique.nodes
        for name in node["begun"]
        if name.endswith("_whole")
    ]


def definition(node: Row, *, over_active: bool) -> tuple[str, str]:
    """What stands after the table's name, before and after the tablespace."""
    front, predicate = shape_parts(node["shape"])
    if over_active:
        predicate = f"({predicate}) AND {_ACTIVE}" if predicate else _ACTIVE
    return front, predicate


class Build:
    """The indexes that are to take a constraint's place, under names of their own until then."""

    def __init__(self, unique: Unique, purpose: str) -> None:
        self.unique, self.purpose = unique, purpose

    def name(self, node: Row) -> str:
        """Derived from the index that it replaces, so that one left over is known again."""
        return f"custody_{node['oid']}_{self.purpose}"

    def place(self, node: Row) -> sql.Identifier:
        return Identifier(node["schema"], self.name(node))

    def leaves(
        self, entry: dict[str, Any], shape: Any, *, unique: dict[str, Any] | None
    ) -> list[Step]:
        steps = []
        for node in self.unique.nodes:
            if not node["leaf"]:
                continue
            name, table = self.name(node), TableName(node["schema"], node["table"])
            if name in node["broken"]:
                drop = sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(self.place(node))
                what = f"drops {name}, which was left half built"
                steps.append(
                    Step(self.unique.table, what, (drop,), concurrently=True, unique=unique)
                )
            elif name in node["begun"]:
                continue
            over = "active rows" if self.purpose == "active" else "all rows"
            steps.append(
                Step(
                    self.unique.table,
                    f"builds {quoted(self.unique.name)} over {over} of {table}, beside its writers",
                    (self.create(node, shape(node), concurrently=True),),
                    concurrently=True,
                    unique=unique,
                )
            )
        return steps

    def create(self, node: Row, shape: tuple[str, str], *, concurrently: bool) -> sql.Composed:
        front, predicate = shape
        return sql.SQL("CREATE UNIQUE INDEX {}{} ON {}{} {}{}{}").format(
            sql.SQL("CONCURRENTLY " if concurrently else ""),
            Identifier(self.name(node)),
            sql.SQL("" if node["leaf"] else "ONLY "),
            TableName(node["schema"], node["table"]).sql,
            raw(front),
            sql.SQL(" TABLESPACE {}").format(Identifier(node["tablespace"]))
            if node["tablespace"]
            else sql.SQL(""),
            raw(f" WHERE {predicate}" if predicate else ""),
        )

    def parents(self, shape: Any) -> list[sql.Composable]:
        """The partitioned tables' own, with all below them put on."""
        made: list[sql.Composable] = [
            self.create(node, shape(node), concurrently=False)
            for node in self.unique.nodes
            if not node["leaf"]
        ]
        return made + self.attach()

    def attach(self) -> list[sql.Composable]:
        by_oid = {node["oid"]: node for node in self.unique.nodes}
        return [
            sql.SQL("ALTER INDEX {} ATTACH PARTITION {}").format(
                self.place(by_oid[node["parent"]]), self.place(node)
            )
            for node in reversed(self.unique.nodes)
            if node["parent"] in by_oid
        ]

    def rename(self, node: Row, name: str) -> sql.Composed:
        return sql.SQL("ALTER INDEX {} RENAME TO {}").format(self.place(node), Identifier(name))


def _swap_in(unique: Unique, build: Build, entry: dict[str, Any]) -> Step:
    head = unique.head
    gone: sql.Composable = (
        sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
            unique.table.sql, Identifier(head["constraint"])
        )
        if unique.is_constraint
        else sql.SQL("DROP INDEX {}").format(Identifier(head["schema"], unique.name))
    )
    statements = build.parents(lambda node: definition(node, over_active=True))
    statements.append(gone)
    statements += [build.rename(node, node["name"]) for node in unique.nodes]
    statements += _comments(unique)
    return Step(
        unique.table,
        f"puts it in the place of {quoted(unique.name)}, under the same name",
        tuple(statements),
        unique=entry,
    )


def _comments(unique: Unique) -> list[sql.Composable]:
    return [
        sql.SQL("COMMENT ON INDEX {} IS {}").format(
            Identifier(node["schema"], node["name"]), sql.Literal(node["index_comment"])
        )
        for node in unique.nodes
        if node["index_comment"]
    ]


def raw(text: str) -> sql.SQL:
    """SQL that PostgreSQL itself printed: it is put into others, never formatted."""
    literal: Any = text
    return sql.SQL(literal)

"""The way back: a constraint over active rows becomes again exactly what it was."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from operations.catalogue.identifiers import Identifier, quoted
from operations.catalogue.types import TableName
from retention.selectors.queries import Row
from retention.selectors.softdelete_steps import Step
from retention.selectors.softdelete_unique import Build, Unique, definition, raw

Was = dict[int, dict[str, Any]]
"""By the number of the index that stands there now: what was there before."""


def back_steps(unique: Unique, entry: dict[str, Any]) -> list[Step]:
    """From the partial index to what `entry` tells of, by way of an index over all rows."""
    if unique.head["predicate"] == entry["predicate"]:
        return _given_up(unique)
    was = _was(unique, entry)
    build = Build(unique, "whole")
    return [
        *build.leaves(
            entry, lambda node: definition(was[node["oid"]], over_active=False), unique=None
        ),
        _swap_back(unique, build, entry, was),
    ]


def _given_up(unique: Unique) -> list[Step]:
    """It was named, and the constraint is still as it was: what was built for it goes."""
    steps = [
        Step(
            unique.table,
            f"drops {name}, which was to take the place of {quoted(unique.name)}",
            (
                sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(
                    Identifier(node["schema"], name)
                ),
            ),
            concurrently=True,
        )
        for node in unique.nodes
        for name in node["begun"]
    ]
    return [
        *steps,
        Step(unique.table, f"leaves {quoted(unique.name)} as it is", (), forget=unique.name),
    ]


def _was(unique: Unique, entry: dict[str, Any]) -> Was:
    """A partition that came since has what its table had."""
    by_oid = {node["table_oid"]: node for node in entry["nodes"]}
    by_name = {(node["schema"], node["table"]): node for node in entry["nodes"]}
    found: Was = {}
    for node in unique.nodes:
        before = by_oid.get(node["table_oid"]) or by_name.get((node["schema"], node["table"]))
        found[node["oid"]] = before or {
            **entry["nodes"][0],
            "name": node["name"],
            "index_comment": "",
            "constraint_comment": "",
        }
    return found


def _swap_back(unique: Unique, build: Build, entry: dict[str, Any], was: Was) -> Step:
    nodes = unique.nodes
    statements: list[sql.Composable] = [
        sql.SQL("DROP INDEX {}").format(Identifier(unique.head["schema"], unique.name))
    ]
    for node in reversed(nodes):
        statements += _make(node, build, entry, was[node["oid"]])
    by_oid = {node["oid"]: node for node in nodes}
    for node in reversed(nodes):
        if (parent := by_oid.get(node["parent"])) is not None:
            statements.append(
                sql.SQL("ALTER INDEX {} ATTACH PARTITION {}").format(
                    Identifier(parent["schema"], was[parent["oid"]]["name"]),
                    Identifier(node["schema"], was[node["oid"]]["name"]),
                )
            )
    if entry["clustered"]:
        statements.append(
            sql.SQL("ALTER TABLE {} CLUSTER ON {}").format(
                unique.table.sql, Identifier(entry["name"])
            )
        )
    for node in nodes:
        statements += _comments(node, was[node["oid"]])
    return Step(
        unique.table,
        f"puts it in the place of {quoted(unique.name)}, as it was: {entry['definition']}",
        tuple(statements),
        forget=entry["name"],
    )


def _make(
    node: Row, build: Build, entry: dict[str, Any], was: dict[str, Any]
) -> list[sql.Composable]:
    """Under its old name: of a leaf the index that was built, of a partitioned table one that
    waits for those of its partitions."""
    place, name = TableName(node["schema"], node["table"]), Identifier(was["name"])
    if not was["constraint_definition"]:
        if node["leaf"]:
            return [build.rename(node, was["name"])]
        shape = definition(was, over_active=False)
        return [build.create(node, shape, concurrently=False), build.rename(node, was["name"])]
    if not node["leaf"]:
        return [
            sql.SQL("ALTER TABLE ONLY {} ADD CONSTRAINT {} {}").format(
                place.sql, name, raw(was["constraint_definition"])
            )
        ]
    when = " DEFERRABLE" if entry["deferrable"] else ""
    when += " INITIALLY DEFERRED" if entry["deferred"] else ""
    return [
        sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} UNIQUE USING INDEX {}{}").format(
            place.sql, name, Identifier(build.name(node)), raw(when)
        )
    ]


def _comments(node: Row, was: dict[str, Any]) -> list[sql.Composable]:
    found: list[sql.Composable] = []
    if was["index_comment"]:
        found.append(
            sql.SQL("COMMENT ON INDEX {} IS {}").format(
                Identifier(node["schema"], was["name"]), sql.Literal(was["index_comment"])
            )
        )
    if was["constraint_comment"]:
        found.append(
            sql.SQL("COMMENT ON CONSTRAINT {} ON {} IS {}").format(
                Identifier(was["name"]),
                TableName(node["schema"], node["table"]).sql,
                sql.Literal(was["constraint_comment"]),
            )
        )
    return found

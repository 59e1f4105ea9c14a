"""The changes of a table that soft delete needs, each with its SQL: what is there is left out.

A step is one short transaction, or one statement that runs beside writers (CONCURRENTLY). The
steps are read off the catalogue, so after an interruption the rest of them is what is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from operations.catalogue.identifiers import Identifier, quoted
from operations.catalogue.types import Column, Table, TableName
from retention.models import SoftDeleteTable
from retention.selectors.queries import Row, rows

COLUMNS = {"deleted_at": "timestamptz", "deleted_by": "text", "deletion_id": "int8"}
"""By name, the type as pg_catalog has it."""
_WRITTEN = {"timestamptz": "timestamptz", "text": "text", "int8": "bigint"}
LONGEST_NAME = 63
"""Bytes of an identifier."""
_SUFFIX = "_deletion_id_idx"


@dataclass(frozen=True)
class Step:
    """One change, tried again from its beginning when it was interrupted."""

    table: TableName
    what: str
    """A sentence without its full stop."""
    statements: tuple[sql.Composable, ...]
    concurrently: bool = False
    """Each of the statements by itself, outside of transactions; nobody waits for it."""
    made: Mapping[str, Any] = field(default_factory=dict)
    """What the registry says of it, from then on; of a statement that runs by itself, before."""
    unique: Mapping[str, Any] | None = None
    """The entry that `active_unique` gets with it."""
    forget: str = ""
    """The unique constraint whose entry `active_unique` loses with it."""
    terms: Mapping[str, Any] | None = None
    """Fields of the registry that hold with it."""
    owners: bool = True
    """Only the table's owner may do it."""
    bin_empty: bool = False
    """Only while no row is in the bin: made sure of when the table is locked."""
    last: bool = False
    """The table has no soft delete any more."""

    def text(self) -> list[str]:
        """The SQL, for people."""
        return [f"{each.as_string(None)};" for each in self.statements]


def fitting(name: str, suffix: str) -> str:
    """The name with its suffix, cut to what PostgreSQL keeps of it."""
    room = LONGEST_NAME - len(suffix.encode())
    return name.encode()[:room].decode(errors="ignore") + suffix


def view_name(table: TableName) -> str:
    """Of the view of active rows: `active_users`, cut where that is too long."""
    return f"active_{table.name}".encode()[:LONGEST_NAME].decode(errors="ignore")


def column_obstacle(table: Table) -> list[str]:
    """Columns that are there already and are something else, with what to do."""
    found = []
    for name, wanted in COLUMNS.items():
        column = table.column(name)
        if column is None:
            continue
        why = _wrong(column, wanted)
        if why:
            found.append(
                f"{table.name} has a column {name} already, and it {why}; soft delete needs "
                f"{name} {_WRITTEN[wanted]}, NULL in active rows. Give yours another name, or drop "
                f"it: ALTER TABLE {table.name} RENAME COLUMN {name} TO {name}_before; then run "
                "this again."
            )
    return found


def _wrong(column: Column, wanted: str) -> str:
    if column.kind != "base" or column.base_type != wanted:
        return f"is {column.type}"
    if column.generated:
        return "is generated"
    if column.not_null:
        return "is NOT NULL"
    return "has a default" if column.has_default else ""


def columns_step(table: Table, row: SoftDeleteTable | None) -> list[Step]:
    """Metadata only: no row is written. On a partitioned table it goes down to the partitions."""
    missing = [name for name in COLUMNS if table.column(name) is None]
    if not missing:
        return []
    before = list((row.made if row else {}).get("columns", []))
    added = sql.SQL(", ").join(
        sql.SQL("ADD COLUMN IF NOT EXISTS {} {}").format(
            Identifier(name), sql.SQL(_WRITTEN[COLUMNS[name]])
        )
        for name in missing
    )
    return [
        Step(
            table.name,
            f"adds {', '.join(missing)}: metadata only, no row is written",
            (sql.SQL("ALTER TABLE {} {}").format(table.name.sql, added),),
            made={"columns": [*before, *(name for name in missing if name not in before)]},
        )
    ]


def index_steps(table: Table, row: SoftDeleteTable | None, *, using: str) -> list[Step]:
    """The partial index by which a deletion's rows are found, built beside the writers."""
    tree = rows("softdelete_marks", {"oids": [table.oid]}, using=using)
    ours = list((row.made if row else {}).get("indexes", []))
    root = tree[0]
    if root["index"] and root["valid"]:
        return []
    if root["leaf"]:
        return _leaf(table.name, root, ours)
    return _tree(table.name, tree, ours)


def _leaf(table: TableName, node: Row, ours: list[list[str]]) -> list[Step]:
    """Of one table that has rows. An index that was left half built is built again."""
    if node["index"] and node["valid"]:
        return []
    place = TableName(node["schema"], node["name"])
    name = node["index"] or fitting(node["name"], _SUFFIX)
    made = ours if [place.schema, name] in ours else [*ours, [place.schema, name]]
    steps = []
    if node["index"]:
        steps.append(
            Step(
                table,
                f"drops {quoted(name)}, which was left half built",
                (_drop(place.schema, name),),
                concurrently=True,
                made={"indexes": made},
            )
        )
    create = sql.SQL(
        "CREATE INDEX CONCURRENTLY {} ON {} (deletion_id) WHERE deletion_id IS NOT NULL"
    ).format(Identifier(name), place.sql)
    steps.append(
        Step(
            table,
            f"indexes the deletions of {place}, beside its writers",
            (create,),
            concurrently=True,
            made={"indexes": made},
        )
    )
    return steps


def _drop(schema: str, name: str) -> sql.Composed:
    return sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(Identifier(schema, name))


def _tree(table: TableName, tree: list[Row], ours: list[list[str]]) -> list[Step]:
    """Each leaf by itself, then the partitioned tables' own, which take the others on."""
    steps: list[Step] = []
    names: dict[int, TableName] = {}
    made = list(ours)
    for node in tree:
        name = node["index"] or fitting(node["name"], _SUFFIX)
        names[node["oid"]] = TableName(node["schema"], name)
        if node["leaf"]:
            steps += _leaf(table, node, made)
        if steps and steps[-1].made:
            made = list(steps[-1].made["indexes"])
    parents = [node for node in tree if not node["leaf"]]
    statements: list[sql.Composable] = []
    for node in parents:
        if not node["index"]:
            place = TableName(node["schema"], node["name"])
            statements.append(
                sql.SQL(
                    "CREATE INDEX {} ON ONLY {} (deletion_id) WHERE deletion_id IS NOT NULL"
                ).format(Identifier(names[node["oid"]].name), place.sql)
            )
            made = [*made, [place.schema, names[node["oid"]].name]]
    # From the leaves up: an index is whole when all below it are on.
    statements += [
        sql.SQL("ALTER INDEX {} ATTACH PARTITION {}").format(
            names[node["parent"]].sql, names[node["oid"]].sql
        )
        for node in reversed(tree)
        if node["parent"] in names and not node["attached"]
    ]
    steps.append(
        Step(
            table,
            f"makes one index of those of the partitions of {table}",
            tuple(statements),
            made={"indexes": made},
        )
    )
    return steps

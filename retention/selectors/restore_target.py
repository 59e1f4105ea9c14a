"""The table that an archive's rows go back to, as it is now."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.identifiers import Identifier
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Column, Table, TableName
from retention.exceptions import RestoreRefused
from retention.models import Archive
from retention.selectors.queries import Row, rows
from retention.selectors.restore_choice import RestoreChoice
from retention.selectors.restore_columns import (
    RestoreColumn,
    StagedColumn,
    columns_added,
    restore_columns,
)


@dataclass(frozen=True)
class Match:
    """Columns of the table, each compared with another's value by an operator of its own."""

    name: str
    columns: tuple[str, ...]
    operators: tuple[sql.Composable, ...]
    """`OPERATOR(schema.=)`, the column on its left."""
    casts: tuple[sql.Composable, ...]
    """What is written after each column: to the type under a domain, or nothing."""


@dataclass(frozen=True)
class Parent:
    """A foreign key of the table."""

    name: str
    table: TableName
    columns: tuple[str, ...]
    """Of the referring table."""
    parent: Match
    """Columns of the table that is referred to."""
    own: bool
    """The table refers to itself."""


@dataclass(frozen=True)
class RestoreTarget:
    """Everything that decides whether and how a row goes back."""

    table: Table
    columns: tuple[RestoreColumn, ...]
    staged: tuple[StagedColumn, ...]
    """What is read of the archive: its columns in the layout's order, left out or not."""
    named_by: tuple[RestoreColumn, ...]
    """The columns that name an archived row to people; empty for a table without a key."""
    key: Match | None
    """What tells whether a row is there already. None: only a row that is equal as a whole."""
    uniques: tuple[Match, ...]
    """Further keys that another row may have taken."""
    parents: tuple[Parent, ...]
    skips_conflicts: bool
    """ON CONFLICT DO NOTHING is possible: not with deferrable keys or rules."""

    @property
    def rows_of(self) -> sql.Composable:
        """The table in FROM: a partitioned one with its partitions, another without heirs."""
        only = sql.SQL("" if self.table.kind == "partitioned" else "ONLY ")
        return sql.SQL("{}{}").format(only, self.table.name.sql)

    @property
    def added(self) -> list[str]:
        return columns_added(self.table, self.columns)

    @property
    def renamed(self) -> dict[str, str]:
        return {c.archived: c.column.name for c in self.columns if c.archived != c.column.name}

    def takes(self, name: str) -> RestoreColumn:
        """The archive's column whose values go to the column `name`."""
        return next(each for each in self.columns if each.column.name == name)


def target_name(archive: Archive, choice: RestoreChoice) -> TableName:
    return TableName(choice.into_schema or archive.schema_name, archive.table_name)


def restore_target(archive: Archive, choice: RestoreChoice, *, using: str) -> RestoreTarget:
    """Raises RestoreRefused, with what is in the way."""
    table = _table(target_name(archive, choice), archive, using)
    found = restore_columns(
        archive.layout, table, choice=choice.columns, as_asked=choice.some, using=using
    )
    columns = found.taken
    by_archived = {each.archived: each for each in columns}
    taken = {each.column.name for each in columns}
    named_by = tuple(by_archived[name] for name in archive.layout["key"] if name in by_archived)
    indexes = rows("unique_indexes", {"table": table.oid}, using=using)
    matches = {
        row["name"]: _match(row, row["columns"], table)
        for row in indexes
        if row["plain"] and _has_operators(row) and set(row["columns"]) <= taken
    }
    key_columns = {each.column.name for each in named_by}
    key = next((m for m in matches.values() if set(m.columns) == key_columns), None)
    if key is None and any(each.changed for each in columns):
        raise RestoreRefused(
            f"{table.name} has no key any more that its archived rows could be found by, and the "
            "types of its columns changed. Give it back its key first."
        )
    habits = rows("insert_habits", {"table": table.oid}, using=using)[0]
    if habits["insert_rules"]:
        raise RestoreRefused(
            f"{table.name} has a rule ON INSERT ({', '.join(habits['insert_rules'])}): what would "
            "be inserted cannot be told. Disable the rule while the rows are restored."
        )
    parents = [_parent(row, using) for row in rows("parents", {"table": table.oid}, using=using)]
    return RestoreTarget(
        table=table,
        columns=columns,
        staged=found.staged,
        named_by=named_by,
        key=key,
        uniques=tuple(m for m in matches.values() if m is not key),
        parents=tuple(each for each in parents if set(each.columns) <= taken),
        skips_conflicts=not (habits["deferrable"] or habits["rules"]),
    )


def _table(name: TableName, archive: Archive, using: str) -> Table:
    try:
        table = read_table(name, using=using)
    except NoSuchTable:
        raise RestoreRefused(
            f"There is no table {name} any more: create it as it was (the columns and types stand "
            f"in the archive's {archive.folder}/manifest.json), then restore; or restore into "
            "another schema (--into-schema NAME), where a table is made."
        ) from None
    if table.kind == "foreign":
        raise RestoreRefused(f"{name} is a foreign table: restore where its rows are.")
    if table.row_security:
        raise RestoreRefused(
            f"Row-level security hides rows of {name} from the console, so it cannot tell which "
            "rows are missing. Give the console's role BYPASSRLS, or exempt it."
        )
    return table


def _has_operators(row: Row) -> bool:
    return None not in row["columns"] and None not in row["operators"]


def _match(row: Row, columns: list[str], table: Table) -> Match:
    casts = (domain_cast(column) for name in columns if (column := table.column(name)))
    return Match(row["name"], tuple(columns), _operators(row), tuple(casts))


def _parent(row: Row, using: str) -> Parent:
    table = read_table(TableName(row["schema"], row["table"]), using=using)
    return Parent(
        name=row["name"],
        table=table.name,
        columns=tuple(row["columns"]),
        parent=_match(row, row["parent_columns"], table),
        own=row["own"],
    )


def domain_cast(column: Column) -> sql.Composable:
    """An operator for any enum, array or range does not take a domain over one."""
    if column.kind != "domain":
        return sql.SQL("")
    return sql.SQL("::{}").format(Identifier(column.base_schema, column.base_name))


def _operators(row: Row) -> tuple[sql.Composable, ...]:
    return tuple(
        # An operator's name has no letters and no quotes: PostgreSQL allows neither.
        sql.SQL("OPERATOR({}.{})").format(Identifier(schema), sql.SQL(name))
        for schema, name in zip(row["operator_schemas"], row["operators"], strict=True)
    )

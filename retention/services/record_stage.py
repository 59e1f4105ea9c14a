"""Temporary tables for records: rows that are due, with the rows that go along with them.

They live as long as the session, and hold of each row where it is, which version of it was seen,
its key, and whatever foreign keys compare.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connections
from psycopg import sql

from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Table, TableName
from retention.selectors.dependents import Graph
from retention.selectors.due import DueRows
from retention.selectors.softdelete_marks import DELETION

_NAMES = ("id", "leaf", "place", "version", "root", "level", "by", "via", "kept", "goes", "rank")
C = {name: sql.Identifier(f"custody {name}") for name in _NAMES}
"""The stage's own columns: names that no column of a governed table has.

`by` and `via` say along which row of which table a row was found, `level` how many steps from its
root, `rank` in which order rows of one cycle of tables may go.
"""

_OWN = sql.SQL(
    "{id} pg_catalog.int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    " {leaf} pg_catalog.oid NOT NULL, {place} pg_catalog.tid NOT NULL,"
    " {version} pg_catalog.xid NOT NULL, {root} pg_catalog.bool NOT NULL,"
    " {level} pg_catalog.int4 NOT NULL, {by} pg_catalog.int4, {via} pg_catalog.int8,"
    " {kept} pg_catalog.bool NOT NULL, {goes} pg_catalog.bool NOT NULL DEFAULT true,"
    " {rank} pg_catalog.int8 DEFAULT 0, UNIQUE ({leaf}, {place})"
).format(**C)

_FILES = """
SELECT c.oid::pg_catalog.int8, pg_catalog.pg_relation_filenode(c.oid)
FROM unnest(%s::text[], %s::text[]) AS l (schema, name)
JOIN pg_catalog.pg_namespace n ON n.nspname = l.schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = l.name
"""


@dataclass(frozen=True)
class Target:
    """A table of the graph, or one partition of it, from which staged rows are to go."""

    number: int
    table: Table
    leaf: TableName
    oid: int
    rows: int


class Stage:
    """The temporary tables of one session: for each table of the graph one, and what is in them."""

    def __init__(
        self,
        graph: Graph,
        rows: DueRows,
        *,
        using: str,
        prefix: str = "custody_records",
        marked: Collection[int] = (),
    ) -> None:
        """Makes the tables anew, in the session as it is.

        Args:
            marked: numbers of tables with soft delete: of their rows it is kept which deletion
                they are in.
        """
        self.graph, self.rows, self.using, self.marked = graph, rows, using, frozenset(marked)
        self.files: dict[int, int] = {}
        self._prefix = prefix
        self._session = _session(using)
        self.drop()
        for number in self.numbers:
            self.run(self._create(number))

    @property
    def numbers(self) -> range:
        """Of the graph's tables."""
        return range(len(self.graph.tables))

    def name(self, number: int) -> sql.Composable:
        """The temporary table of the graph's table with this number."""
        return sql.SQL("pg_temp.{}").format(sql.Identifier(f"{self._prefix}_{number}"))

    @property
    def alive(self) -> bool:
        """Its session is the one that statements go to now."""
        return self._session is _session(self.using)

    def run(self, statement: sql.Composable) -> int:
        """The number of rows that the statement touched."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(statement)
            return int(cursor.rowcount)

    def ask(self, query: sql.Composable) -> list[tuple[Any, ...]]:
        with connections[self.using].cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def columns(self, number: int) -> list[str]:
        """What is kept of the table's columns: its key, and all that foreign keys compare."""
        table = self.graph.tables[number]
        names = list(table.key.columns) if table.key else []
        if number in self.marked:
            names.append(DELETION)
        for each in self.graph.references:
            if each.parent == number:
                names += each.key.referenced_columns
            if each.inside and each.child == number:
                names += each.key.columns
        return list(dict.fromkeys(names))

    def listed(self, number: int, alias: str = "") -> sql.Composable:
        """The same, each after a comma."""
        names = [
            Identifier(alias, name) if alias else Identifier(name) for name in self.columns(number)
        ]
        return sql.SQL("").join(sql.SQL(", {}").format(name) for name in names)

    def _create(self, number: int) -> sql.Composable:
        table = self.graph.tables[number]
        typed = [
            # The type's name is the catalogue's, never a user's.
            sql.SQL("{} {}").format(column.sql, sql.SQL(column.type))
            for name in self.columns(number)
            if (column := table.column(name)) is not None
        ]
        return sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(
            self.name(number), sql.SQL(", ").join([_OWN, *typed])
        )

    def drop(self) -> None:
        if self.alive:
            for number in self.numbers:
                self.run(sql.SQL("DROP TABLE IF EXISTS {}").format(self.name(number)))

    def empty(self) -> None:
        """Before it is filled: what is found from now on is found in the files there are now."""
        self.files = self.files_now()
        names = sql.SQL(", ").join(map(self.name, self.numbers))
        self.run(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(names))

    def files_now(self) -> dict[int, int]:
        """By oid, the files of the tables: another one when the rows got other places."""
        leaves = [leaf for each in self.graph.tables for leaf in each.leaves or (each.name,)]
        with connections[self.using].cursor() as cursor:
            cursor.execute(_FILES, [[e.schema for e in leaves], [e.name for e in leaves]])
            return dict(cursor.fetchall())

    def analyze(self) -> None:
        """Tells the planner how many rows there are."""
        for number in self.numbers:
            self.run(sql.SQL("ANALYZE {} ({level})").format(self.name(number), **C))

    # What is in it.

    def last_ids(self) -> list[int]:
        """By the tables' numbers. Ids rise, so they tell what was added since."""
        query = sql.SQL("SELECT {}").format(
            sql.SQL(", ").join(
                sql.SQL("(SELECT coalesce(max({id}), 0) FROM {table})").format(
                    table=self.name(number), **C
                )
                for number in self.numbers
            )
        )
        return list(self.ask(query)[0])

    def count(self, number: int) -> int:
        found: int = self.ask(sql.SQL("SELECT count(*) FROM {}").format(self.name(number)))[0][0]
        return found

    def counts(self) -> list[int]:
        """By the tables' numbers."""
        return [self.count(number) for number in self.numbers]

    def targets(self) -> Iterator[Target]:
        """Where the rows are."""
        for number, table in enumerate(self.graph.tables):
            query = sql.SQL(
                "SELECT s.{leaf}::pg_catalog.int8, n.nspname::pg_catalog.text,"
                " c.relname::pg_catalog.text, count(*)"
                " FROM {stage} s JOIN pg_catalog.pg_class c ON c.oid = s.{leaf}"
                " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                " GROUP BY 1, 2, 3 ORDER BY 2, 3"
            ).format(stage=self.name(number), **C)
            for oid, schema, name, count in self.ask(query):
                yield Target(number, table, TableName(schema, name), oid, count)


def _session(using: str) -> object:
    connections[using].ensure_connection()
    return connections[using].connection

"""Records: rows that are due, with the rows that go along with them, found before any is locked.

The temporary tables live as long as the session. Filling them takes no row lock, and every
statement is a transaction of its own, so it may take its time. What they say may be out of date a
moment later: the step that deletes locks the rows and looks again (`record_check.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connections
from psycopg import sql

from operations import vetoes
from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Table, TableName
from retention.selectors.dependents import Graph, Reference
from retention.selectors.due import DueRows, due, no_reference, not_kept
from retention.selectors.references import refers

AT_A_TIME = 100_000
"""Rows that one statement finds: then it begins anew, and lets go of the tables in between."""
ANALYZED = 200
"""Rows from which on the planner is told how many there are."""

_NAMES = ("id", "leaf", "place", "version", "root", "level", "by", "via", "kept", "goes", "rank")
C = {name: sql.Identifier(f"custody {name}") for name in (*_NAMES, "now")}
"""The stage's own columns: names that no column of a governed table has."""

_OWN = sql.SQL(
    "{id} pg_catalog.int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    " {leaf} pg_catalog.oid NOT NULL, {place} pg_catalog.tid NOT NULL,"
    " {version} pg_catalog.xid NOT NULL, {root} pg_catalog.bool NOT NULL,"
    " {level} pg_catalog.int4 NOT NULL, {by} pg_catalog.int4, {via} pg_catalog.int8,"
    " {kept} pg_catalog.bool NOT NULL, {goes} pg_catalog.bool NOT NULL DEFAULT true,"
    " {rank} pg_catalog.int8, {now} pg_catalog.bool NOT NULL DEFAULT true,"
    " UNIQUE ({leaf}, {place})"
).format(**C)


_FILES = """
SELECT c.oid::pg_catalog.int8, pg_catalog.pg_relation_filenode(c.oid)
FROM unnest(%s::text[], %s::text[]) AS l (schema, name)
JOIN pg_catalog.pg_namespace n ON n.nspname = l.schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = l.name
"""


def stage(number: int) -> sql.Composable:
    """The temporary table of the graph's table with this number."""
    return sql.SQL("pg_temp.{}").format(sql.Identifier(f"custody_records_{number}"))


@dataclass(frozen=True)
class Target:
    """A table of the graph, or one partition of it, from which staged rows are to go."""

    number: int
    table: Table
    leaf: TableName
    oid: int
    rows: int


class Stage:
    """The temporary tables of one session: for each table of the graph one, and what is in them.

    `by` and `via` say along which row a row was found; `level` how many steps from its root.
    """

    def __init__(self, graph: Graph, rows: DueRows, *, using: str) -> None:
        """Makes the tables anew, in the session as it is."""
        self.graph, self.using = graph, using
        self._rows = rows
        self.files: dict[int, int] = {}
        self.session = _session(using)
        for number in range(len(graph.tables)):
            self.run(sql.SQL("DROP TABLE IF EXISTS {}").format(stage(number)))
            self.run(self._create(number))
            self.run(sql.SQL("CREATE INDEX ON {} ({level})").format(stage(number), **C))

    @property
    def alive(self) -> bool:
        """Its session is the one that statements go to now."""
        return self.session is _session(self.using)

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
        for each in self.graph.references:
            if each.inside and each.parent == number:
                names += each.key.referenced_columns
            if each.inside and each.child == number:
                names += each.key.columns
        return list(dict.fromkeys(names))

    def _create(self, number: int) -> sql.Composable:
        table = self.graph.tables[number]
        typed = [
            # The type's name is the catalogue's, never a user's.
            sql.SQL("{} {}").format(column.sql, sql.SQL(column.type))
            for name in self.columns(number)
            if (column := table.column(name)) is not None
        ]
        return sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(
            stage(number), sql.SQL(", ").join([_OWN, *typed])
        )

    def empty(self) -> None:
        """Before it is filled: what is found from now on is found in the files there are now."""
        self.files = self.files_now()
        names = sql.SQL(", ").join(map(stage, range(len(self.graph.tables))))
        self.run(sql.SQL("TRUNCATE {}").format(names))

    def files_now(self) -> dict[int, int]:
        """By oid, the files of the tables: another one when the rows got other places."""
        leaves = [leaf for each in self.graph.tables for leaf in each.leaves or (each.name,)]
        with connections[self.using].cursor() as cursor:
            cursor.execute(_FILES, [[e.schema for e in leaves], [e.name for e in leaves]])
            return dict(cursor.fetchall())

    # Filling it.

    def add_roots(
        self, leaf: TableName, where: sql.Composable, *, after: str | None, most: int
    ) -> str | None:
        """The first due rows `t` of the leaf that `where` lets through, in the order of their
        places; the place of the last one, or None when there are none.

        Raises Vetoed: the whole table is protected.
        """
        free = vetoes.unprotected(self._protections(0), table=self.graph.root)
        keeping = [each.key for each in self.graph.into(0) if not each.inside]
        conditions = [where, due(self._rows, free, walking=True, keeping=keeping)]
        if after is not None:
            conditions.append(sql.SQL("t.ctid > {}::pg_catalog.tid").format(sql.Literal(after)))
        self.run(
            sql.SQL(
                "INSERT INTO {stage} ({leaf}, {place}, {version}, {root}, {level}, {kept}{more})"
                " SELECT t.tableoid, t.ctid, t.xmin, true, 0, false{columns} FROM ONLY {table} t"
                " WHERE {where} ORDER BY t.ctid LIMIT {most}"
            ).format(
                stage=stage(0),
                more=self._listed(0),
                columns=self._listed(0, "t"),
                table=leaf.sql,
                where=sql.SQL(" AND ").join(conditions),
                most=sql.Literal(most),
                **C,
            )
        )
        query = sql.SQL("SELECT max({place})::pg_catalog.text FROM {}").format(stage(0), **C)
        last: str | None = self.ask(query)[0][0]
        return last

    def close(self, *, most: int | None, beat: Callable[[], None]) -> int:
        """Adds, level by level, what goes along with what is there; returns how many rows it has.

        Cycles end by themselves: what is staged is not staged again. With more than `most` rows it
        stops in between; None: however many there are.
        """
        kept = [self.keeps(number) for number in range(len(self.graph.tables))]
        total = found = self.count(0)
        level = 0
        while found and (most is None or total <= most):
            if found >= ANALYZED:
                self._analyze()
            found = sum(self._follow(each, level, kept, beat) for each in self.graph.along)
            total += found
            level += 1
        if most is None or total <= most:
            self._keep_referred()
        return total

    def _follow(
        self, each: Reference, level: int, kept: list[sql.Composable], beat: Callable[[], None]
    ) -> int:
        assert each.child is not None
        statement = sql.SQL(
            "INSERT INTO {stage} ({leaf}, {place}, {version}, {root}, {level}, {by}, {via}, {kept}"
            "{more}) SELECT t.tableoid, t.ctid, t.xmin, false, {next}, {parent}, p.{id}, {keeps}"
            "{columns} FROM {table} t JOIN {parents} p ON {refers} WHERE p.{level} = {now_level}"
            " AND NOT EXISTS (SELECT FROM {stage} s WHERE s.{leaf} = t.tableoid"
            " AND s.{place} = t.ctid) LIMIT {most} ON CONFLICT ({leaf}, {place}) DO NOTHING"
        ).format(
            stage=stage(each.child),
            more=self._listed(each.child),
            next=sql.Literal(level + 1),
            parent=sql.Literal(each.parent),
            keeps=kept[each.child],
            columns=self._listed(each.child, "t"),
            table=each.key.table.sql,
            parents=stage(each.parent),
            refers=refers(each.key, self.graph.tables[each.parent], child="t", referred="p"),
            now_level=sql.Literal(level),
            most=sql.Literal(AT_A_TIME),
            **C,
        )
        total = 0
        while True:
            beat()
            found = self.run(statement)
            total += found
            if found < AT_A_TIME:
                return total

    def _keep_referred(self) -> None:
        """Rows of the policy's own table, when it is not named, keep what they refer to, unless
        they are among those that may go.
        """
        for each in self.graph.references:
            if each.inside and not each.goes_along:
                self.run(
                    sql.SQL(
                        "UPDATE {stage} p SET {kept} = true FROM {table} t WHERE {refers}"
                        " AND NOT EXISTS (SELECT FROM {roots} s WHERE s.{leaf} = t.tableoid"
                        " AND s.{place} = t.ctid)"
                    ).format(
                        stage=stage(each.parent),
                        table=each.key.table.sql,
                        refers=refers(
                            each.key, self.graph.tables[each.parent], child="t", referred="p"
                        ),
                        roots=stage(0),
                        **C,
                    )
                )

    def keeps(self, number: int) -> sql.Composable:
        """Something outside the record keeps row `t` of this table, whatever row it goes with."""
        table = self.graph.tables[number]
        try:
            free = vetoes.unprotected(self._protections(number), table=table)
        except vetoes.Vetoed:
            if number == 0:
                raise
            free = sql.SQL("false")
        parts = [free]
        parts += [
            no_reference(each.key, table) for each in self.graph.into(number) if not each.inside
        ]
        if number == 0:
            # Also of a row that would go along with another.
            parts.append(not_kept(self._rows))
        return sql.SQL("NOT ({})").format(sql.SQL(" AND ").join(parts))

    def _protections(self, number: int) -> list[vetoes.Protection]:
        return vetoes.protections(self.graph.tables[number], using=self.using)

    def _listed(self, number: int, alias: str = "") -> sql.Composable:
        names = [
            Identifier(alias, name) if alias else Identifier(name) for name in self.columns(number)
        ]
        return sql.SQL("").join(sql.SQL(", {}").format(name) for name in names)

    def _analyze(self) -> None:
        for number in range(len(self.graph.tables)):
            self.run(sql.SQL("ANALYZE {} ({level})").format(stage(number), **C))

    def drop(self) -> None:
        if self.alive:
            for number in range(len(self.graph.tables)):
                self.run(sql.SQL("DROP TABLE IF EXISTS {}").format(stage(number)))

    # What is in it.

    def count(self, number: int) -> int:
        found: int = self.ask(sql.SQL("SELECT count(*) FROM {}").format(stage(number)))[0][0]
        return found

    def counts(self) -> list[int]:
        """By the tables' numbers."""
        return [self.count(number) for number in range(len(self.graph.tables))]

    def targets(self) -> Iterator[Target]:
        """Where the rows are that are to go now."""
        for number, table in enumerate(self.graph.tables):
            query = sql.SQL(
                "SELECT s.{leaf}::pg_catalog.int8, n.nspname::pg_catalog.text,"
                " c.relname::pg_catalog.text, count(*)"
                " FROM {stage} s JOIN pg_catalog.pg_class c ON c.oid = s.{leaf}"
                " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                " WHERE s.{now} GROUP BY 1, 2, 3 ORDER BY 2, 3"
            ).format(stage=stage(number), **C)
            for oid, schema, name, count in self.ask(query):
                yield Target(number, table, TableName(schema, name), oid, count)


def _session(using: str) -> object:
    connections[using].ensure_connection()
    return connections[using].connection

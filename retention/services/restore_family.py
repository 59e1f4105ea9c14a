"""Archives that are restored together: rows, and those that went along because they refer to them.

Which rows belong to the chosen ones is told by the foreign keys of the tables as they are now: the
values that chosen rows are referred to by are gathered in a temporary table, archive by archive,
parents first. A session that was lost gathers them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import connections, transaction
from psycopg import sql

from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table, TableName
from operations.runs.kinds import Beat
from retention.exceptions import RestoreRefused
from retention.models import Archive
from retention.selectors.restore_choice import RestoreChoice
from retention.services.restore_selection import Selection
from retention.services.restore_stage import STAGE, staged
from retention.services.restore_work import RestoreWork

_KEYS = sql.SQL("pg_temp.custody_family")
"""edge, and key: the values that a chosen row is referred to by, as one text."""


@dataclass(frozen=True)
class Edge:
    """A foreign key from one archive's rows to another's; places are those of the layouts."""

    number: int
    parent: int
    """Which of the archives is referred to."""
    parent_places: tuple[int, ...]
    places: tuple[int, ...]


@dataclass
class Family:
    """The archives in the order in which they go back, the one that was asked for first."""

    archives: list[Archive]
    choice: RestoreChoice
    using: str
    edges: dict[int, list[Edge]] = field(default_factory=dict)
    """To earlier archives, by the referring one; none are needed when all rows go back."""
    _gathered_in: object = None

    def work(self, member: int) -> RestoreWork:
        """Raises RestoreRefused. Of the dependents only the rows that belong to the chosen ones."""
        archive, choice, belonging = self._asked(member)
        return RestoreWork(archive, choice, belonging=belonging, using=self.using)

    def selection(self, member: int) -> Selection:
        archive, choice, belonging = self._asked(member)
        return Selection(archive, choice, belonging, using=self.using)

    def _asked(self, member: int) -> tuple[Archive, RestoreChoice, sql.Composable | None]:
        choice = self.choice
        if member:
            choice = RestoreChoice(into_schema=choice.into_schema)
        edges = self.edges.get(member, [])
        return self.archives[member], choice, _belonging(edges) if edges else None

    def gather(self, beat: Beat) -> None:
        """Reads the archives that others refer to, once a session. Holds no lock on a table."""
        if not self.edges:
            return
        connections[self.using].ensure_connection()
        session = connections[self.using].connection
        if self._gathered_in is session:
            return
        with connections[self.using].cursor() as cursor:
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_KEYS))
            cursor.execute(
                sql.SQL(
                    "CREATE TEMPORARY TABLE {} (edge pg_catalog.int4, key pg_catalog.text,"
                    " PRIMARY KEY (edge, key))"
                ).format(_KEYS)
            )
        for member in range(len(self.archives)):
            edges = [e for found in self.edges.values() for e in found if e.parent == member]
            if edges:
                self._gather(member, edges, beat)
        self._gathered_in = session

    def clear(self) -> None:
        self._gathered_in = None
        with connections[self.using].cursor() as cursor:
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_KEYS))

    def _gather(self, member: int, edges: Sequence[Edge], beat: Beat) -> None:
        selection = self.selection(member)
        stage = selection.stage()
        try:
            for part in selection.parts:
                stage.fill(part, beat, selection.chosen(part))
                with (
                    transaction.atomic(using=self.using),
                    connections[self.using].cursor() as cursor,
                ):
                    stage.pin()
                    for edge in edges:
                        cursor.execute(_insert(edge))
        finally:
            stage.drop()


def family(archive: Archive, choice: RestoreChoice, *, using: str) -> Family:
    """Raises RestoreRefused: how a dependent's rows refer to the others cannot be told any more."""
    archives = [archive]
    if choice.with_dependents:
        dependents = archive.dependents.select_related("policy", "run").order_by("-id")
        archives += [each for each in dependents if each.state == Archive.State.COMPLETE]
    if len(archives) == 1 or not choice.some:
        return Family(_ordered(archives, using), choice, using)
    archives = _ordered(archives, using)
    found = Family(archives, choice, using)
    numbers = iter(range(len(archives) ** 2 * 100))
    for member in range(1, len(archives)):
        edges = _edges(archives, member, using)
        if not edges:
            names = ", ".join(str(_name(each)) for each in archives[:member])
            raise RestoreRefused(
                f"No foreign key tells any more which rows of {_name(archives[member])} belong to "
                f"the chosen ones of {names}. Restore {archives[member].name} by itself."
            )
        found.edges[member] = [
            Edge(next(numbers), parent, theirs, ours) for parent, theirs, ours in edges
        ]
    return found


def _name(archive: Archive) -> TableName:
    return TableName(archive.schema_name, archive.table_name)


def _table(archive: Archive, using: str) -> Table | None:
    try:
        return read_table(_name(archive), using=using)
    except NoSuchTable:
        return None


def _ordered(archives: list[Archive], using: str) -> list[Archive]:
    """Those that are referred to before those that refer to them, as far as there is an order."""
    tables = {each.pk: _table(each, using) for each in archives}
    ordered, waiting = [archives[0]], archives[1:]
    while waiting:
        names = {_name(each) for each in waiting}
        free = [each for each in waiting if not _waits(tables[each.pk], names)] or waiting[:1]
        ordered += free
        waiting = [each for each in waiting if each not in free]
    return ordered


def _waits(table: Table | None, names: set[TableName]) -> bool:
    keys = table.foreign_keys if table is not None else ()
    return any(key.references in names and key.references != key.table for key in keys)


def _edges(
    archives: list[Archive], member: int, using: str
) -> list[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    child = archives[member]
    table = _table(child, using)
    edges = []
    for key in table.foreign_keys if table is not None else ():
        for parent in range(member):
            other = _table(archives[parent], using)
            if other is None or key.references not in (other.name, *other.leaves):
                continue
            ours = _places(child, table, key.columns)
            theirs = _places(archives[parent], other, key.referenced_columns)
            if ours and theirs:
                edges.append((parent, theirs, ours))
    return edges


def _places(archive: Archive, table: Table | None, names: Sequence[str]) -> tuple[int, ...]:
    """Where the archive has the columns; one that was renamed is followed. Empty: not all."""
    archived = archive.layout["columns"]
    by_name = {each["name"]: place for place, each in enumerate(archived)}
    by_number = {each["position"]: place for place, each in enumerate(archived)}
    found = []
    for name in names:
        column = table.column(name) if table is not None else None
        place = by_name.get(name)
        if place is None and column is not None:
            place = by_number.get(column.position)
        if place is None:
            return ()
        found.append(place)
    return tuple(found)


def _belonging(edges: Sequence[Edge]) -> sql.Composable:
    return sql.SQL(" OR ").join(
        sql.SQL("EXISTS (SELECT FROM {keys} k WHERE k.edge = {edge} AND k.key = {key})").format(
            keys=_KEYS, edge=sql.Literal(edge.number), key=_key(edge.places)
        )
        for edge in edges
    )


def _insert(edge: Edge) -> sql.Composable:
    return sql.SQL(
        "INSERT INTO {keys} SELECT {edge}, {key} FROM {stage} s WHERE {filled}"
        " ON CONFLICT DO NOTHING"
    ).format(
        keys=_KEYS,
        edge=sql.Literal(edge.number),
        key=_key(edge.parent_places),
        stage=STAGE,
        filled=sql.SQL(" AND ").join(
            sql.SQL("s.{} IS NOT NULL").format(staged(place)) for place in edge.parent_places
        ),
    )


def _key(places: Sequence[int]) -> sql.Composable:
    """Values that are equal have equal texts, under the settings that are pinned."""
    texts = sql.SQL(", ").join(
        sql.SQL("s.{}::pg_catalog.text").format(staged(place)) for place in places
    )
    return sql.SQL("pg_catalog.to_json(ARRAY[{}])::pg_catalog.text").format(texts)

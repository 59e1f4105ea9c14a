"""The rows of an archive, read a slice at a time: nothing is unpacked, and memory stays bounded.

Each part is streamed from the storage through COPY into a temporary table, whose WHERE lets only
the wanted rows in. PostgreSQL reads the values, under the settings that they were written with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import DataError, IntegrityError, connections, transaction
from psycopg import sql

from operations.catalogue.types import Table, TableName
from operations.conditions.check import check_condition
from operations.conditions.parse import parse_condition
from operations.conditions.render import render
from operations.conditions.structure import And, Comparison, Condition, Not, Or
from operations.encryption import refuse_unreadable
from operations.runs.kinds import Beat
from operations.storage import storage
from retention.exceptions import ArchiveDamaged, ArchiveRefused
from retention.models import Archive, ArchivePart
from retention.selectors.archived_columns import (
    ArchivedColumn,
    archived_columns,
    archived_table,
)
from retention.services.copy_in import HEADER, copy_in
from retention.services.csv_slices import csv_slices
from retention.services.layout import COPY_OPTIONS, FORMAT, session_pin
from retention.services.part_reader import PartReader, part_differences, part_measure

ROWS = sql.SQL("pg_temp.custody_rows")
"""The slice: line, the row's number in its part from 1, and c1, c2 ... in the layout's order."""
SLICE = 8 << 20
"""Bytes of CSV that are staged at a time."""
_LINE = "SELECT last_value FROM pg_temp.custody_rows_line_seq"
_DROP = sql.SQL("DROP TABLE IF EXISTS {}").format(ROWS)


def staged(place: int) -> sql.Identifier:
    """The column of a stage with this place, from 0, in the layout."""
    return sql.Identifier(f"c{place + 1}")


def staged_condition(condition: Condition, columns: Sequence[ArchivedColumn]) -> sql.Composable:
    """The condition, which names archived columns, on the columns of a stage."""
    names = {each.name: f"c{each.place + 1}" for each in columns}
    renamed = tuple(
        replace(each, column=replace(each.column, name=names[each.name])) for each in columns
    )
    table = archived_table(TableName("pg_temp", "stage"), {"key": []}, renamed)
    return render(_renamed(condition, names), table)


@dataclass(frozen=True)
class Slice:
    """What was asked of one slice of a part."""

    part: ArchivePart
    line: int
    """The last row of it that was read, wanted or not."""
    rows: list[tuple[Any, ...]]


class ArchiveRows:
    """One archive, as this session reads it."""

    def __init__(self, archive: Archive, *, using: str) -> None:
        """
        Raises:
            ArchiveRefused: it was destroyed, or a newer version of Custody wrote it.
            IdentityNeeded: it is encrypted, and no identity is at hand.
        """
        _refuse_gone(archive)
        refuse_unreadable(archive.recipients)
        self.archive, self._using = archive, using
        self.columns = archived_columns(archive.layout, using=using)
        name = TableName(archive.schema_name, archive.table_name)
        self.table: Table = archived_table(name, archive.layout, self.columns)
        self._made_in: object = None

    def condition(self, text: str) -> Condition:
        """Raises ConditionRefused: on the archived columns it cannot be meant so."""
        return self.checked(parse_condition(text, self.table))

    def checked(self, condition: Condition) -> Condition:
        check_condition(condition, self.table, using=self._using)
        return condition

    def read(
        self,
        select: sql.Composable,
        *,
        parts: Iterable[ArchivePart] | None = None,
        where: Condition | None = None,
        after: tuple[int, int] = (0, 0),
        beat: Beat = lambda: None,
    ) -> Iterator[Slice]:
        """Asks `select` of every slice, with the wanted rows in `ROWS`.

        A part is compared with what was written when its last slice has been read.

        Args:
            parts: only these, in this order.
            after: part and line; only rows behind this one are wanted.

        Raises:
            StorageError: a part is missing or cannot be read.
            ArchiveDamaged: a part is not what was written.
        """
        wanted = staged_condition(where, self.columns) if where is not None else None
        number, line = after
        for part in self.archive.parts.order_by("number") if parts is None else parts:
            if part.number < number:
                continue
            behind = _behind(wanted, line) if part.number == number else wanted
            try:
                yield from self._part(part, select, behind, beat)
            except (DataError, IntegrityError) as error:
                raise self._unreadable(part, error) from error

    def ask(
        self, select: sql.Composable, records: Sequence[bytes], *, where: sql.Composable
    ) -> list[tuple[Any, ...]]:
        """Asks `select` of these records of the CSV, numbered from 1; of those that are wanted.

        Raises:
            ArchiveDamaged: one of them has a value that cannot be read.
        """
        try:
            with transaction.atomic(using=self._using):
                self._empty(restart=True)
                columns = sql.SQL(", ").join(staged(each.place) for each in self.columns)
                copy_in(ROWS, columns, [HEADER, *records], where=where, using=self._using)
                with connections[self._using].cursor() as cursor:
                    cursor.execute(select)
                    found: list[tuple[Any, ...]] = cursor.fetchall()
                    return found
        except (DataError, IntegrityError) as error:
            sort = type(error.__cause__).__name__
            raise ArchiveDamaged(
                f"{self.archive.name} has a value that cannot be read ({sort})."
            ) from error

    def close(self) -> None:
        """Drops the temporary table: while it is there, its columns' types are in use."""
        # Another session has no such table.
        if self._made_in is not None and self._made_in is connections[self._using].connection:
            with connections[self._using].cursor() as cursor:
                cursor.execute(_DROP)
        self._made_in = None

    def _part(
        self,
        part: ArchivePart,
        select: sql.Composable,
        wanted: sql.Composable | None,
        beat: Beat,
    ) -> Iterator[Slice]:
        reader = PartReader(storage(), part.file)
        for number, blocks in enumerate(csv_slices(reader.blocks(), size=SLICE)):
            beat()
            with transaction.atomic(using=self._using):
                self._empty(restart=number == 0)
                copy_in(
                    ROWS,
                    sql.SQL(", ").join(staged(each.place) for each in self.columns),
                    blocks if number == 0 else [HEADER, *blocks],
                    where=wanted,
                    using=self._using,
                )
                with connections[self._using].cursor() as cursor:
                    cursor.execute(select)
                    rows = cursor.fetchall()
                    cursor.execute(_LINE)
                    line = int(cursor.fetchone()[0])
            yield Slice(part, line, rows)
        differs = part_differences(part, reader.facts())
        if differs:
            raise self._damaged(part, differs)

    def _empty(self, *, restart: bool) -> None:
        session_pin(self._using, {**self.archive.layout["session"], "statement_timeout": "0"})
        with connections[self._using].cursor() as cursor:
            connection = connections[self._using].connection
            if self._made_in is not connection:
                cursor.execute(_DROP)
                cursor.execute(self._create())
                self._made_in = connection
            cursor.execute(
                sql.SQL("TRUNCATE {} {}").format(
                    ROWS, sql.SQL("RESTART IDENTITY" if restart else "")
                )
            )

    def _create(self) -> sql.Composable:
        columns = [
            # The type's name is the catalogue's, never a user's.
            sql.SQL("{} {}").format(staged(each.place), sql.SQL(each.read_as))
            for each in self.columns
        ]
        return sql.SQL(
            "CREATE TEMPORARY TABLE {} (line pg_catalog.int8 GENERATED BY DEFAULT AS IDENTITY, {})"
        ).format(ROWS, sql.SQL(", ").join(columns))

    def _unreadable(self, part: ArchivePart, error: Exception) -> ArchiveDamaged:
        differs = part_differences(part, part_measure(storage(), part.file))
        sort = type(error.__cause__).__name__
        return self._damaged(part, differs or [f"has a value that cannot be read ({sort})"])

    def _damaged(self, part: ArchivePart, differs: Sequence[str]) -> ArchiveDamaged:
        return ArchiveDamaged(
            f"{part.file} {'; '.join(differs)}. "
            f"`manage.py archive_verify {self.archive.name}` tells more."
        )


def _behind(wanted: sql.Composable | None, line: int) -> sql.Composable:
    behind = sql.SQL("line > {}").format(sql.Literal(line))
    return behind if wanted is None else sql.SQL("{} AND {}").format(behind, wanted)


def _refuse_gone(archive: Archive) -> None:
    """Raises ArchiveRefused for an archive that is gone, or that a newer version wrote."""
    if archive.state == Archive.State.DESTROYED:
        raise ArchiveRefused(
            f"{archive.name} was destroyed on {archive.destroyed_at:%Y-%m-%d}: its term was over."
        )
    if archive.layout.get("format") != FORMAT or archive.layout["copy"] != COPY_OPTIONS:
        raise ArchiveRefused(
            f"{archive.name} has the format {archive.layout.get('format')}, which this version of "
            f"Custody cannot read (it reads {FORMAT})."
        )


def _renamed(condition: Condition, names: dict[str, str]) -> Condition:
    match condition:
        case And(parts):
            return And(tuple(_renamed(part, names) for part in parts))
        case Or(parts):
            return Or(tuple(_renamed(part, names) for part in parts))
        case Not(part):
            return Not(_renamed(part, names))
        case Comparison():
            return replace(condition, column=names[condition.column])

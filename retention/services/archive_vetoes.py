"""Who protects rows of an archive: the vetoes of its table, asked of the archived rows.

Invariant: what cannot be told is protected. A row for which a veto's condition is unknown is held;
so is every archive of a table that somebody holds and that is gone, or whose rows cannot be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from django.db import DataError, ProgrammingError, connections
from django.db.models import Count, Max
from psycopg import sql

from operations import vetoes
from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.identifiers import Identifier
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Column, Table, TableName
from operations.conversions import Conversion, castable
from operations.exceptions import CustodyError
from operations.runs.kinds import Beat
from operations.vetoes import Protection
from retention.models import Archive, ArchivePart, HeldRow
from retention.selectors.archived_columns import ArchivedColumn
from retention.services.archive_rows import ROWS, ArchiveRows, staged


@dataclass(frozen=True)
class Vetoes:
    """What was found at one moment."""

    by: tuple[str, ...]
    """Who protects rows of the archive: `hold 2031-17`. Empty: nobody."""
    token: str
    """Another one as soon as a veto is placed or lifted: what was found has to be found anew."""


def archive_vetoes(*, archive: Archive, beat: Beat = lambda: None) -> Vetoes:
    """Asks every row of the archive, where it must. Takes as long as reading it: holds no lock."""
    using = archive.run.database
    token = vetoes_token(archive=archive)
    if not _of_names(archive, using):
        return Vetoes((), token)
    by: list[str] = []
    for name in _names(archive, using):
        if _oid(name, using):
            by += _of_rows(archive, read_table(name, using=using), beat, using)
        else:
            by += vetoes.holders(name, using=using)
    for name in _leaves(archive):
        if not _oid(name, using):
            by += vetoes.holders(name, using=using)
    return Vetoes(tuple(dict.fromkeys(by)), token)


def vetoes_token(*, archive: Archive) -> str:
    """What the vetoes of the archive's table say now. In a transaction none can be placed then."""
    using = archive.run.database
    said = [",".join(_of_names(archive, using))]
    for name in _names(archive, using):
        with suppress(NoSuchTable):
            table = read_table(name, using=using)
            said += [_said(each, using) for each in vetoes.protections(table, using=using)]
    # Rows can be added to a hold without another word in its condition.
    rows = HeldRow.objects.filter(scope__hold__released_at=None)
    said.append(str(rows.aggregate(Count("id"), Max("id"))))
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def _said(protection: Protection, using: str) -> str:
    rows = protection.rows
    return f"{protection.by}: {rows.as_string(connections[using].connection) if rows else 'all'}"


def _names(archive: Archive, using: str) -> list[TableName]:
    """What its table was called, and when there is none: by its policy now."""
    name = TableName(archive.schema_name, archive.table_name)
    if archive.root_id is not None or _oid(name, using):
        return [name]
    return list(dict.fromkeys([name, archive.policy.table]))


def _leaves(archive: Archive) -> list[TableName]:
    places = archive.parts.order_by().values_list("schema_name", "table_name").distinct()
    return [TableName(*place) for place in places]


def _of_names(archive: Archive, using: str) -> list[str]:
    names = dict.fromkeys([*_names(archive, using), *_leaves(archive)])
    return [who for name in names for who in vetoes.holders(name, using=using)]


def _oid(name: TableName, using: str) -> int:
    """0 when there is no such table."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(pg_catalog.to_regclass(%s)::pg_catalog.oid::pg_catalog.int8, 0)",
            [str(name)],
        )
        return int(cursor.fetchone()[0])


def _of_rows(archive: Archive, table: Table, beat: Beat, using: str) -> list[str]:
    found = vetoes.protections(table, using=using)
    whole = [each.by for each in found if each.rows is None]
    asked = [each for each in found if each.rows is not None]
    if whole or not asked:
        return whole
    try:
        rows = ArchiveRows(archive, using=using)
        images = _images(rows.columns, table, using)
        try:
            return _touched(rows, images, asked, beat, using)
        finally:
            rows.close()
            for image in images:
                if image.conversion is not None:
                    image.conversion.drop(using=using)
    except (CustodyError, DataError, ProgrammingError) as error:
        why = f"its rows cannot be asked: {' '.join(str(error).split())}"
        return [f"{each.by} ({why})" for each in asked]


@dataclass(frozen=True)
class _Image:
    """A column of the table as it is now, and where an archived row has its value."""

    column: Column
    place: int | None
    """None: an archived row has no value for it, which is unknown."""
    conversion: Conversion | None = None

    @property
    def sql(self) -> sql.Composable:
        base = Identifier(self.column.base_schema, self.column.base_name)
        value: sql.Composable = sql.SQL("NULL")
        if self.place is not None:
            value = staged(self.place)
            if self.conversion is not None:
                value = self.conversion.of(value)
        return sql.SQL("{}::{} AS {}").format(value, base, Identifier(self.column.name))


def _images(columns: Sequence[ArchivedColumn], table: Table, using: str) -> list[_Image]:
    """A column that was renamed is followed by its number."""
    by_name = {each.name: each for each in columns}
    free = {each.column.position: each for each in columns if table.column(each.name) is None}
    images = []
    for column in table.columns:
        archived = by_name.get(column.name) or free.get(column.position)
        images.append(_image(archived, column, using))
    return images


def _image(archived: ArchivedColumn | None, column: Column, using: str) -> _Image:
    if archived is None:
        return _Image(column, None)
    if archived.column.base_type == column.base_type:
        return _Image(column, archived.place)
    conversion = archived.conversion(column)
    if not castable(conversion, using=using):
        return _Image(column, None)
    conversion.make(using=using)
    return _Image(column, archived.place, conversion)


def _touched(
    rows: ArchiveRows,
    images: Sequence[_Image],
    asked: Sequence[Protection],
    beat: Beat,
    using: str,
) -> list[str]:
    """Who of those protects a row; the reading ends with the first slice that has one."""
    touched: dict[str, None] = {}
    for part in rows.archive.parts.order_by("number"):
        select = _question(images, asked, part, using)
        for found in _slices(rows, select, part, beat):
            for each, is_touched in zip(asked, found, strict=True):
                if is_touched:
                    touched[each.by] = None
            if touched:
                return list(touched)
    return []


def _slices(
    rows: ArchiveRows, select: sql.Composable, part: ArchivePart, beat: Beat
) -> Iterator[tuple[bool, ...]]:
    for found in rows.read(select, parts=[part], beat=beat):
        yield found.rows[0]


def _question(
    images: Sequence[_Image], asked: Sequence[Protection], part: ArchivePart, using: str
) -> sql.Composable:
    leaf = _oid(TableName(part.schema_name, part.table_name), using)
    row = sql.SQL("SELECT {}::pg_catalog.oid AS tableoid, {} FROM {}").format(
        sql.Literal(leaf), sql.SQL(", ").join(image.sql for image in images), ROWS
    )
    answers = [
        sql.SQL("EXISTS (SELECT FROM ({}) t WHERE ({}) IS NOT FALSE)").format(row, each.rows)
        for each in asked
        if each.rows is not None
    ]
    return sql.SQL("SELECT {}").format(sql.SQL(", ").join(answers))

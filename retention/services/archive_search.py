"""Searching archives: which of their rows meet a condition. Changes nothing, unpacks nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from operations.conditions.exceptions import ConditionRefused
from operations.conditions.structure import Condition
from operations.encryption import IdentityNeeded
from operations.exceptions import CustodyError
from operations.runs.kinds import Beat
from retention.exceptions import ArchiveRefused
from retention.models import Archive, ArchivePart
from retention.selectors.archive_parts import parts_with
from retention.services.archive_rows import ROWS, ArchiveRows, staged

OnPart = Callable[[str, int, int], None]
"""Called with the archive's name, the rows of it that were passed and those it has."""


@dataclass(frozen=True)
class FoundRow:
    """A row of an archive that meets the condition."""

    archive: Archive
    part: int
    line: int
    """Its number in the part, from 1. With the part's it names the row for `archive_restore`."""
    values: str
    """A JSON object, by column."""
    texts: tuple[str | None, ...]
    """Each column as PostgreSQL prints it, in the layout's order."""

    @property
    def place(self) -> str:
        return f"{self.part}:{self.line}"


@dataclass
class ArchiveSearch:
    """One search over some archives: iterate `rows`, then read what came of it."""

    archives: Sequence[Archive]
    where: str = ""
    limit: int | None = None
    """Rows after which it stops; None reads to the end."""
    only_named: bool = True
    """Each archive was asked for: that one has no such column is a mistake, not a matter of age."""
    matched: int = 0
    complete: bool = False
    """Every archive was read to its end."""
    skipped: list[tuple[Archive, str]] = field(default_factory=list)
    """Archives that cannot be asked this, and why: none of their rows are told."""
    failed: list[tuple[Archive, str]] = field(default_factory=list)
    """Archives that are damaged or cannot be reached: what was told of them may not be all."""

    def prepare(self) -> list[tuple[ArchiveRows, Condition | None]]:
        """The archives that can be asked.

        Raises:
            ConditionRefused: the condition fits none of them, or not all that were named.
            ArchiveRefused: an archive that was named was destroyed.
        """
        ready: list[tuple[ArchiveRows, Condition | None]] = []
        refused: CustodyError | None = None
        for archive in self.archives:
            try:
                rows = ArchiveRows(archive, using=archive.run.database)
                ready.append((rows, rows.condition(self.where) if self.where else None))
            except (ArchiveRefused, IdentityNeeded, ConditionRefused) as error:
                if self.only_named:
                    raise
                self.skipped.append((archive, str(error)))
                refused = refused or (error if isinstance(error, ConditionRefused) else None)
        if not ready and refused is not None:
            raise refused
        return ready

    def rows(
        self,
        ready: Sequence[tuple[ArchiveRows, Condition | None]],
        *,
        beat: Beat = lambda: None,
        on_part: OnPart | None = None,
    ) -> Iterator[FoundRow]:
        """The rows that match, archive by archive, in the order in which they were archived."""
        for archive_rows, where in ready:
            try:
                for found in self._of(archive_rows, where, beat, on_part):
                    self.matched += 1
                    yield found
                    if self.matched == self.limit:
                        return
            except CustodyError as error:
                self.failed.append((archive_rows.archive, str(error)))
            finally:
                archive_rows.close()
        self.complete = not self.failed

    def count(
        self,
        ready: Sequence[tuple[ArchiveRows, Condition | None]],
        *,
        beat: Beat = lambda: None,
        on_part: OnPart | None = None,
    ) -> dict[str, int]:
        """How many rows match, by archive."""
        counts: dict[str, int] = {}
        for archive_rows, where in ready:
            name = archive_rows.archive.name
            counts[name] = 0
            try:
                for _part, rows in self._slices(archive_rows, _COUNT, where, beat, on_part):
                    counts[name] += rows[0][0]
            except CustodyError as error:
                self.failed.append((archive_rows.archive, str(error)))
            finally:
                archive_rows.close()
            self.matched += counts[name]
        self.complete = not self.failed
        return counts

    def _of(
        self,
        archive_rows: ArchiveRows,
        where: Condition | None,
        beat: Beat,
        on_part: OnPart | None,
    ) -> Iterator[FoundRow]:
        select = found_select(archive_rows, limit=self.limit)
        for part, rows in self._slices(archive_rows, select, where, beat, on_part):
            for line, values, *texts in rows:
                yield FoundRow(archive_rows.archive, part.number, line, values, tuple(texts))

    def _slices(
        self,
        archive_rows: ArchiveRows,
        select: sql.Composable,
        where: Condition | None,
        beat: Beat,
        on_part: OnPart | None,
    ) -> Iterator[tuple[ArchivePart, list[tuple[Any, ...]]]]:
        archive = archive_rows.archive
        parts = parts_with(archive, archive_rows.table, where, using=archive.run.database)
        passed, before = 0, None
        for found in archive_rows.read(select, parts=parts, where=where, beat=beat):
            if before is not None and before.pk != found.part.pk:
                passed += before.rows
                if on_part is not None:
                    on_part(archive.name, passed, archive.rows or passed)
            before = found.part
            yield found.part, found.rows


_COUNT = sql.SQL("SELECT pg_catalog.count(*) FROM {}").format(ROWS)


def found_select(archive_rows: ArchiveRows, *, limit: int | None) -> sql.Composable:
    """Of a slice what a FoundRow tells: line, values, and each text."""
    columns = archive_rows.columns
    named = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(staged(each.place), each.column.sql) for each in columns
    )
    texts = sql.SQL(", ").join(
        sql.SQL("{}::pg_catalog.text").format(staged(each.place)) for each in columns
    )
    return sql.SQL(
        "SELECT line, (SELECT pg_catalog.row_to_json(t)::pg_catalog.text FROM (SELECT {}) t), {}"
        " FROM {} ORDER BY line{}"
    ).format(
        named,
        texts,
        ROWS,
        sql.SQL(" LIMIT {}").format(sql.Literal(limit)) if limit is not None else sql.SQL(""),
    )

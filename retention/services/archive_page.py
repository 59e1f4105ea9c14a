"""A page of an archive's rows: so many of them, in no more time than a person waits."""

from __future__ import annotations

import time
from dataclasses import dataclass

from retention.models import Archive
from retention.selectors.archive_parts import parts_with
from retention.services.archive_rows import ArchiveRows
from retention.services.archive_search import FoundRow, found_select


@dataclass(frozen=True)
class RowsPage:
    rows: tuple[FoundRow, ...]
    after: tuple[int, int] | None
    """Part and line behind which the next page begins; None at the archive's end."""
    passed: int
    """Rows of the archive up to there."""


def archive_page(
    *, archive: Archive, where: str, after: tuple[int, int], most: int, seconds: float
) -> RowsPage:
    """The next `most` rows that meet the condition, or those that were found in `seconds`.

    Raises:
        ConditionRefused: on the archived columns it cannot be meant so.
        ArchiveRefused, IdentityNeeded, StorageError, ArchiveDamaged: the rows cannot be read.
    """
    using = archive.run.database
    rows = ArchiveRows(archive, using=using)
    condition = rows.condition(where) if where else None
    parts = parts_with(archive, rows.table, condition, using=using)
    select = found_select(rows, limit=most)
    give_up = time.monotonic() + seconds
    found: list[FoundRow] = []
    place: tuple[int, int] | None = None
    try:
        for piece in rows.read(select, parts=parts, where=condition, after=after):
            for line, values, *texts in piece.rows:
                found.append(FoundRow(archive, piece.part.number, line, values, tuple(texts)))
                if len(found) == most:
                    place = (piece.part.number, line)
                    break
            else:
                here = (piece.part.number, piece.line)
                # What lies before `after` is read again: a page always comes further than that.
                if time.monotonic() > give_up and here > after:
                    place = here
            if place is not None:
                break
    finally:
        rows.close()
    return RowsPage(tuple(found), place, _passed(archive, place))


def _passed(archive: Archive, place: tuple[int, int] | None) -> int:
    if place is None:
        return archive.rows
    before = archive.parts.filter(number__lt=place[0]).values_list("rows", flat=True)
    return sum(before) + place[1]

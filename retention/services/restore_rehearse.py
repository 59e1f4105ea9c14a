"""Rehearsing a restore: what it would find, as far as that can be told without inserting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from django.db import DatabaseError, InterfaceError, connections, transaction
from psycopg import sql

from operations.catalogue.types import TableName
from retention.models import Archive
from retention.selectors.restore_choice import RestoreChoice
from retention.services.restore_family import Family, family
from retention.services.restore_plan import restore_works
from retention.services.restore_selection import Selection
from retention.services.restore_slice import Tally
from retention.services.restore_stage import STAGE
from retention.services.restore_start import ALL
from retention.services.restore_verdicts import Lines
from retention.services.restore_work import MOST_NAMED, RestoreWork

_ROWS = 5_000

OnRows = Callable[[int, int], None]
"""Called with the rows looked at so far and those of the archives."""


def restore_rehearse(
    *,
    archive: Archive,
    choice: RestoreChoice = ALL,
    on_rows: OnRows = lambda _done, _total: None,
) -> dict[str, Any]:
    """What a restore would find. Changes nothing.

    Rows that a check, NOT NULL, a trigger or a missing partition would refuse count as restorable:
    only inserting shows them.
    """
    using = archive.run.database
    found = family(archive, choice, using=using)
    rehearsal = _Rehearsal(found, on_rows)
    try:
        found.gather(lambda: None)
        for member, work in enumerate(restore_works(found)):
            if work is None:
                rehearsal.count(member)
            else:
                rehearsal.look(work, named=member > 0)
    finally:
        with suppress(DatabaseError, InterfaceError):
            found.clear()
    return rehearsal.found


class _Rehearsal:
    def __init__(self, family: Family, on_rows: OnRows) -> None:
        self._family, self._on_rows = family, on_rows
        self._total = sum(each.rows for each in family.archives)
        self._done = 0
        self._tables: set[TableName] = set()
        self.found: dict[str, Any] = {
            "restorable": 0,
            "already_there": 0,
            "conflict_count": 0,
            "conflicts": [],
        }

    def look(self, work: RestoreWork, *, named: bool) -> None:
        using = work.using
        try:
            for part in work.parts:
                work.prepare(part, lambda: None)
                rows = work.rows(part, lambda: _limit(using))
                for after in range(0, part.rows, _ROWS):
                    lines = Lines(after, min(after + _ROWS, part.rows))
                    with transaction.atomic(using=using):
                        work.pin()
                        most = MOST_NAMED - len(self.found["conflicts"])
                        tally = rows.look(lines, most=most, rehearsed=self._tables)
                    self._add(work.archive if named else None, part.number, tally)
                    self._done += len(lines)
                    self._on_rows(self._done, self._total)
        finally:
            with suppress(DatabaseError, InterfaceError):
                work.clear()
        self._tables.add(work.target.table.name)

    def count(self, member: int) -> None:
        """Its table has yet to be made, so nothing can stand in the way of the chosen rows."""
        selection, archive = self._family.selection(member), self._family.archives[member]
        if selection.whole:
            self.found["restorable"] += archive.rows
        else:
            self.found["restorable"] += sum(self._staged(selection))
        self._done += archive.rows
        self._on_rows(self._done, self._total)

    def _staged(self, selection: Selection) -> Iterator[int]:
        stage, using = selection.stage(), self._family.using
        try:
            for part in selection.parts:
                stage.fill(part, lambda: None, selection.chosen(part))
                with connections[using].cursor() as cursor:
                    cursor.execute(sql.SQL("SELECT pg_catalog.count(*) FROM {}").format(STAGE))
                    yield int(cursor.fetchone()[0])
        finally:
            stage.drop()

    def _add(self, archive: Archive | None, part: int, tally: Tally) -> None:
        place = {"part": part, **({"archive": archive.name} if archive is not None else {})}
        self.found["restorable"] += tally.restored
        self.found["already_there"] += tally.already_there
        self.found["conflict_count"] += tally.conflict_count
        self.found["conflicts"] += [{**place, **asdict(each)} for each in tally.conflicts]


def _limit(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '2s'")
        cursor.execute("SET LOCAL statement_timeout = '30s'")

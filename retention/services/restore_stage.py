"""An archive's part in a temporary table: PostgreSQL itself reads the values.

The tables live as long as the session. Filling them holds no lock on the governed table, so it may
take its time; a worker that lost its session fills them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import DatabaseError, DataError, IntegrityError, connections, transaction
from psycopg import sql

from operations.conversions import Conversion
from operations.runs.kinds import Beat
from operations.storage import Storage
from retention.exceptions import ArchiveDamaged
from retention.models import ArchivePart
from retention.selectors.restore_columns import StagedColumn
from retention.services.copy_in import HEADER, copy_in
from retention.services.layout import session_pin
from retention.services.part_reader import PartReader, part_differences, part_measure, records

STAGE = sql.SQL("pg_temp.custody_stage")
"""line, and c1, c2 ... in the layout's order."""
UNREAD = sql.SQL("pg_temp.custody_unread")
"""Rows that PostgreSQL does not take as what they were: line, why, and c1, c2 ... as text."""
VERDICT = sql.SQL("pg_temp.custody_verdict")
"""What is known of a line: it is there already, or (conflict) why it cannot go back."""

_DROP = sql.SQL("DROP TABLE IF EXISTS {}, {}, {}").format(STAGE, UNREAD, VERDICT)
_UNREADABLE = (DataError, IntegrityError)
_RECORDS = 500
_BLOCKS_PER_BEAT = 64


def staged(place: int) -> sql.Identifier:
    """The column of the stage with this place, from 0, in the layout."""
    return sql.Identifier(f"c{place + 1}")


@dataclass(frozen=True)
class Chosen:
    """Which rows of a part are wanted."""

    where: sql.Composable | None = None
    """A condition on the stage's columns, asked while the part is read."""
    belonging: sql.Composable | None = None
    """One on the stage as `s` that may look elsewhere, asked afterwards."""


class Stage:
    """The temporary tables of one session, and the part that is in them."""

    def __init__(
        self,
        columns: Sequence[StagedColumn],
        conversions: Sequence[Conversion],
        store: Storage,
        *,
        settings: Mapping[str, str],
        using: str,
    ) -> None:
        """
        Args:
            columns: all of the archive's.
            conversions: of their values, made together with the tables.
            settings: the session's, with which the archive was written.
        """
        self._columns, self._conversions = columns, conversions
        self._store, self._settings, self._using = store, settings, using
        self._names = sql.SQL(", ").join(staged(i) for i in range(len(columns)))
        self._session: object = None
        self._part: int | None = None

    @property
    def session(self) -> object:
        """Another object for each session."""
        connections[self._using].ensure_connection()
        return connections[self._using].connection

    def fill(self, part: ArchivePart, beat: Beat, chosen: Chosen = Chosen()) -> None:
        """Puts the chosen rows of the part into the tables, unless they are there.

        Raises:
            StorageError: the part is missing or cannot be read.
            ArchiveDamaged: it is not what was written; nothing of it was staged.
        """
        if self._session is self.session and self._part == part.pk:
            return
        self._part = None
        try:
            with transaction.atomic(using=self._using):
                self._empty()
                self._copy_whole(part, beat, chosen.where)
        except _UNREADABLE:
            differs = part_differences(part, part_measure(self._store, part.file))
            if differs:
                raise self._damaged(part, differs) from None
            with transaction.atomic(using=self._using):
                self._empty()
                self._copy_by_record(part, beat, chosen.where)
        self._session, self._part = self.session, part.pk
        with connections[self._using].cursor() as cursor:
            if chosen.belonging is not None:
                cursor.execute(
                    sql.SQL("DELETE FROM {} s WHERE ({}) IS NOT TRUE").format(
                        STAGE, chosen.belonging
                    )
                )
            cursor.execute(sql.SQL("ANALYZE {}").format(STAGE))

    def drop(self) -> None:
        self._session = self._part = None
        with connections[self._using].cursor() as cursor:
            cursor.execute(_DROP)
        for conversion in self._conversions:
            conversion.drop(using=self._using)

    def _empty(self) -> None:
        with connections[self._using].cursor() as cursor:
            if self._session is not self.session:
                for statement in self._create():
                    cursor.execute(statement)
                for conversion in self._conversions:
                    conversion.make(using=self._using)
            cursor.execute(
                sql.SQL("TRUNCATE {}, {}, {} RESTART IDENTITY").format(STAGE, UNREAD, VERDICT)
            )
        self.pin()

    def pin(self) -> None:
        """Until the end of the transaction: the archive's settings, and no limit of a role's own.

        Only for transactions that hold no lock that anybody waits for; a step sets its limits."""
        session_pin(self._using, {**self._settings, "statement_timeout": "0"})

    def _create(self) -> Iterable[sql.Composable]:
        places = range(len(self._columns))
        yield _DROP
        yield sql.SQL(
            "CREATE TEMPORARY TABLE {} ("
            "line pg_catalog.int8 GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, {})"
        ).format(
            STAGE,
            sql.SQL(", ").join(
                # The type's name is the catalogue's, never a user's.
                sql.SQL("{} {}").format(staged(i), sql.SQL(self._columns[i].staged_type))
                for i in places
            ),
        )
        yield sql.SQL(
            "CREATE TEMPORARY TABLE {} (line pg_catalog.int8 PRIMARY KEY, why pg_catalog.text, {})"
        ).format(
            UNREAD,
            sql.SQL(", ").join(sql.SQL("{} pg_catalog.text").format(staged(i)) for i in places),
        )
        yield sql.SQL(
            "CREATE TEMPORARY TABLE {} (line pg_catalog.int8 PRIMARY KEY,"
            " conflict pg_catalog.bool NOT NULL, why pg_catalog.text NOT NULL)"
        ).format(VERDICT)

    # All at once.

    def _copy_whole(self, part: ArchivePart, beat: Beat, where: sql.Composable | None) -> None:
        reader = PartReader(self._store, part.file)
        blocks = _beating(reader.blocks(), beat)
        copy_in(STAGE, self._names, blocks, where=where, using=self._using)
        differs = part_differences(part, reader.facts())
        if differs:
            raise self._damaged(part, differs)

    def _damaged(self, part: ArchivePart, differs: Sequence[str]) -> ArchiveDamaged:
        return ArchiveDamaged(
            f"{part.file} {'; '.join(differs)}. None of its rows were restored. "
            f"`manage.py archive_verify {part.archive.name}` tells more."
        )

    # Record by record, when some value is not what its type takes any more.

    def _copy_by_record(self, part: ArchivePart, beat: Beat, where: sql.Composable | None) -> None:
        found = records(_beating(PartReader(self._store, part.file).blocks(), beat))
        next(found)
        waiting: list[tuple[int, bytes]] = []
        for line, record in enumerate(found, start=1):
            waiting.append((line, record))
            if len(waiting) == _RECORDS:
                self._copy_records(waiting, where)
                waiting = []
        if waiting:
            self._copy_records(waiting, where)

    def _copy_records(self, some: list[tuple[int, bytes]], where: sql.Composable | None) -> None:
        columns = sql.SQL("line, {}").format(self._names)
        lines = [HEADER, *(b"%d,%s" % each for each in some)]
        try:
            with transaction.atomic(using=self._using):
                copy_in(STAGE, columns, lines, where=where, using=self._using)
        except _UNREADABLE as error:
            if len(some) == 1:
                self._set_aside(*some[0], error)
                return
        else:
            return
        middle = len(some) // 2
        self._copy_records(some[:middle], where)
        self._copy_records(some[middle:], where)

    def _set_aside(self, line: int, record: bytes, error: DatabaseError) -> None:
        columns = sql.SQL("line, {}").format(self._names)
        copy_in(UNREAD, columns, [HEADER, b"%d,%s" % (line, record)], using=self._using)
        sort = type(error.__cause__).__name__
        why = "; ".join(self._unfit(line)) or f"cannot be read any more ({sort})"
        with connections[self._using].cursor() as cursor:
            cursor.execute(
                sql.SQL("UPDATE {} SET why = {} WHERE line = {}").format(
                    UNREAD, sql.Literal(why), sql.Literal(line)
                )
            )

    def _unfit(self, line: int) -> Iterable[str]:
        """The columns whose value is not one of their type. The value itself is not told."""
        for place, each in enumerate(self._columns):
            statement = sql.SQL("SELECT {}::{} FROM {} WHERE line = {}").format(
                staged(place), sql.SQL(each.staged_type), UNREAD, sql.Literal(line)
            )
            try:
                with (
                    transaction.atomic(using=self._using),
                    connections[self._using].cursor() as cursor,
                ):
                    cursor.execute(statement)
            except _UNREADABLE:
                yield f"its {each.archived} is not a value of {each.staged_type} any more"


def _beating(blocks: Iterable[bytes], beat: Beat) -> Iterable[bytes]:
    for number, block in enumerate(blocks):
        if number % _BLOCKS_PER_BEAT == 0:
            beat()
        yield block

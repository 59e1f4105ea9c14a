"""Putting lines of the stage back, in the transaction under way.

Invariant: nothing that is live is overwritten. A row goes in only by INSERT, and one in whose way
something stands is told with what stands there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, connections, transaction
from psycopg import sql

from operations.batches.application_path import application_path
from operations.catalogue.types import TableName
from retention.selectors.restore_target import RestoreTarget
from retention.services.restore_reasons import RowsRefused, refusal
from retention.services.restore_stage import STAGE, UNREAD, VERDICT, staged
from retention.services.restore_verdicts import (
    UNDECIDED,
    Lines,
    names,
    record_id,
    row_text,
    values,
    verdicts,
)


@dataclass(frozen=True)
class Conflict:
    """A row of the archive that cannot go back as it is."""

    line: int
    """Its number in the part, from 1."""
    key: str | None
    """The record id; None for a table without a key."""
    why: str


@dataclass
class Tally:
    """What became of some rows of an archive; each is counted once."""

    restored: int = 0
    already_there: int = 0
    conflict_count: int = 0
    changed_by_trigger: int = 0
    """Of the restored ones: a trigger of the table made another row of it."""
    conflicts: list[Conflict] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return self.restored + self.already_there + self.conflict_count


class SliceRestore:
    """Everything about one target but where to go on."""

    def __init__(
        self,
        target: RestoreTarget,
        *,
        known: Callable[[Lines], sql.Composable] | None,
        limit: Callable[[], None],
        using: str,
    ) -> None:
        """
        Args:
            known: gives a statement with verdicts that were made beforehand.
            limit: called before what takes long; limits it to the time that is left.
        """
        self._target, self._known, self._using = target, known, using
        self._limit = limit

    def look(
        self, lines: Lines, *, most: int, rehearsed: Collection[TableName] | None = None
    ) -> Tally:
        """What is known of the lines before anything is inserted.

        `restored` counts the rows in whose way nothing is known to stand. `most` limits the
        conflicts that are named, not those that are counted. `rehearsed`: see `verdicts`.
        """
        self._limit()
        if self._known is not None:
            self._execute(self._known(lines))
        for statement in verdicts(self._target, lines, rehearsed=rehearsed):
            self._execute(statement)
        staged_rows, there, conflicts, unread = self._one(
            "SELECT (SELECT pg_catalog.count(*) FROM {stage} s WHERE {s}),"
            " (SELECT pg_catalog.count(*) FROM {verdict} v WHERE {v} AND NOT v.conflict),"
            " (SELECT pg_catalog.count(*) FROM {verdict} v WHERE {v} AND v.conflict),"
            " (SELECT pg_catalog.count(*) FROM {unread} u WHERE {u})",
            stage=STAGE,
            verdict=VERDICT,
            unread=UNREAD,
            s=lines.of("s"),
            v=lines.of("v"),
            u=lines.of("u"),
        )
        refused = conflicts + unread
        named = self._conflicts(lines, most) if refused and most > 0 else []
        return Tally(staged_rows - there - conflicts, there, refused, conflicts=named)

    def put(self, lines: Lines, *, most: int) -> Tally:
        """Looks, and inserts what is missing.

        Raises:
            RowsRefused: at least one of several rows cannot go in; nothing was changed.
        """
        try:
            with transaction.atomic(using=self._using):
                tally = self.look(lines, most=most)
                if tally.restored:
                    self._insert_all(lines, tally)
                return tally
        except RowsRefused as error:
            refused = error
        except DatabaseError as error:
            reason = refusal(error, self._target)
            if reason is None:
                raise
            refused = reason
        if len(lines) > 1:
            raise refused
        named = [Conflict(lines.upto, self._key(lines), str(refused))] if most > 0 else []
        return Tally(conflict_count=1, conflicts=named)

    def _insert_all(self, lines: Lines, tally: Tally) -> None:
        skips = self._target.skips_conflicts
        inserted, tally.changed_by_trigger = self._insert(lines, skips_conflicts=skips)
        if inserted != tally.restored and skips and len(lines) == 1:
            # Once more, so that PostgreSQL says what stands in the way.
            inserted, tally.changed_by_trigger = self._insert(lines, skips_conflicts=False)
        if inserted != tally.restored:
            raise RowsRefused("a trigger of the table left it out")

    def _insert(self, lines: Lines, *, skips_conflicts: bool) -> tuple[int, int]:
        """How many rows went in, and how many of these a trigger changed."""
        self._limit()
        listed = sql.SQL(", ").join
        stage_columns = [staged(place) for place in range(len(self._target.columns))]
        with application_path(self._target.table.name, using=self._using):
            inserted, changed = self._one(
                "WITH wanted AS MATERIALIZED"
                " (SELECT {wanted} FROM {stage} s WHERE {lines} AND {undecided}),"
                " put AS (INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE"
                " SELECT {stage_columns} FROM wanted {skip} RETURNING {put_text} AS image)"
                " SELECT (SELECT pg_catalog.count(*) FROM put),"
                " (SELECT pg_catalog.count(*) FROM put p"
                " WHERE NOT EXISTS (SELECT FROM wanted WHERE {wanted_text} = p.image))",
                wanted=listed(
                    sql.SQL("{} AS {}").format(*pair)
                    for pair in zip(values(self._target), stage_columns, strict=True)
                ),
                stage=STAGE,
                lines=lines.of("s"),
                undecided=UNDECIDED,
                table=self._target.table.name.sql,
                names=listed(names(self._target)),
                stage_columns=listed(stage_columns),
                skip=sql.SQL("ON CONFLICT DO NOTHING" if skips_conflicts else ""),
                put_text=row_text(names(self._target)),
                wanted_text=row_text(stage_columns),
            )
        return inserted, changed

    def _conflicts(self, lines: Lines, most: int) -> list[Conflict]:
        statement = sql.SQL(
            "SELECT s.line, {key}, v.why FROM {verdict} v JOIN {stage} s ON s.line = v.line"
            " WHERE {v} AND v.conflict"
            " UNION ALL SELECT s.line, {plain_key}, s.why FROM {unread} s WHERE {s}"
            " ORDER BY 1 LIMIT {most}"
        ).format(
            key=record_id(self._target),
            plain_key=record_id(self._target, readable=False),
            verdict=VERDICT,
            stage=STAGE,
            unread=UNREAD,
            v=lines.of("v"),
            s=lines.of("s"),
            most=sql.Literal(most),
        )
        with connections[self._using].cursor() as cursor:
            cursor.execute(statement)
            return [Conflict(*row) for row in cursor.fetchall()]

    def _key(self, lines: Lines) -> str | None:
        key: str | None = self._one(
            "SELECT {key} FROM {stage} s WHERE {lines}",
            key=record_id(self._target),
            stage=STAGE,
            lines=lines.of("s"),
        )[0]
        return key

    def _one(self, query: str, **parts: sql.Composable) -> tuple[Any, ...]:
        with connections[self._using].cursor() as cursor:
            cursor.execute(sql.SQL(query).format(**parts))
            found: tuple[Any, ...] = cursor.fetchone()
        return found

    def _execute(self, statement: sql.Composable) -> None:
        with connections[self._using].cursor() as cursor:
            cursor.execute(statement)

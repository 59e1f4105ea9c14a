"""Rows of a table without a key: which of an archive's copies are live already.

Of a row that was archived a times and is live l times, the first l copies in the order of
restoring are there and the others are missing. That holds at any moment of a restore: copies that
an earlier attempt put back are counted as live and stand first, so a worker that was killed decides
again as it had decided.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from django.db import connections, transaction
from psycopg import sql

from operations.batches.sizing import BatchSize
from operations.batches.walk import Walk, next_window, window_predicate
from operations.catalogue.types import TableName
from operations.runs.kinds import Beat
from retention.models import ArchivePart
from retention.selectors.restore_target import RestoreTarget
from retention.services.restore_stage import STAGE, VERDICT, Chosen, Stage
from retention.services.restore_verdicts import Lines, names, row_text, values

_ARCHIVED = sql.SQL("pg_temp.custody_archived")
_LIVE = sql.SQL("pg_temp.custody_live")
_THERE = sql.SQL("pg_temp.custody_there")
_DROP = sql.SQL("DROP TABLE IF EXISTS {}, {}, {}").format(_ARCHIVED, _LIVE, _THERE)
_WALK = Walk("ctid", (), "there is no key")
_PAGES = (2_048, 1, 131_072)


def _digest(row: sql.Composable) -> sql.Composable:
    return sql.SQL("pg_catalog.sha256(pg_catalog.convert_to({}, 'UTF8'))").format(row)


class Copies:
    """Made once a session, in temporary tables: a digest for each archived row."""

    def __init__(self, target: RestoreTarget, stage: Stage, *, using: str) -> None:
        self._target, self._stage, self._using = target, stage, using
        self._session: object = None

    def count(
        self,
        parts: Sequence[ArchivePart],
        chosen: Callable[[ArchivePart], Chosen],
        beat: Beat,
    ) -> None:
        """Reads the parts, in the order in which they will be restored, and then the table."""
        if self._session is self._stage.session:
            return
        self._execute(
            _DROP,
            sql.SQL(
                "CREATE TEMPORARY TABLE {} (place pg_catalog.int4, part pg_catalog.int8,"
                " line pg_catalog.int8, image pg_catalog.bytea)"
            ).format(_ARCHIVED),
            sql.SQL(
                "CREATE TEMPORARY TABLE {} (image pg_catalog.bytea, copies pg_catalog.int8)"
            ).format(_LIVE),
        )
        image = _digest(row_text(values(self._target)))
        for place, part in enumerate(parts):
            self._stage.fill(part, beat, chosen(part))
            with transaction.atomic(using=self._using):
                self._stage.pin()
                self._execute(
                    sql.SQL("INSERT INTO {} SELECT {}, {}, s.line, {} FROM {} s").format(
                        _ARCHIVED, sql.Literal(place), sql.Literal(part.pk), image, STAGE
                    )
                )
        self._execute(
            sql.SQL("CREATE INDEX ON {} (image)").format(_ARCHIVED),
            sql.SQL("ANALYZE {}").format(_ARCHIVED),
        )
        for leaf in self._target.table.leaves or (self._target.table.name,):
            self._count_live(leaf, beat)
        self._decide()
        self._session = self._stage.session

    def drop(self) -> None:
        self._session = None
        self._execute(_DROP)

    def known(self, part: ArchivePart, lines: Lines) -> sql.Composable:
        """The verdicts on the lines of a part that are there."""
        return sql.SQL(
            "INSERT INTO {} (line, conflict, why)"
            " SELECT s.line, false, '' FROM {} s WHERE s.part = {} AND {} ON CONFLICT DO NOTHING"
        ).format(VERDICT, _THERE, sql.Literal(part.pk), lines.of("s"))

    def _count_live(self, leaf: TableName, beat: Beat) -> None:
        """In windows, so that no lock on the table is held for long."""
        first, least, most = _PAGES
        size, after = BatchSize(first, least, most), None
        image = _digest(row_text(names(self._target, "t")))
        while True:
            beat()
            window = next_window(
                table=self._target.table,
                leaf=leaf,
                walk=_WALK,
                after=after,
                size=size.value,
                using=self._using,
            )
            if window is None:
                return
            began = time.monotonic()
            with transaction.atomic(using=self._using):
                self._stage.pin()
                self._execute(
                    sql.SQL(
                        "INSERT INTO {live} SELECT found.image, pg_catalog.count(*)"
                        " FROM (SELECT {image} AS image FROM ONLY {leaf} t WHERE {window}) found"
                        " WHERE EXISTS (SELECT FROM {archived} a WHERE a.image = found.image)"
                        " GROUP BY found.image"
                    ).format(
                        live=_LIVE,
                        image=image,
                        leaf=leaf.sql,
                        window=window_predicate(window, self._target.table, alias="t"),
                        archived=_ARCHIVED,
                    )
                )
            size.took(time.monotonic() - began)
            after = window.upto

    def _decide(self) -> None:
        self._execute(
            sql.SQL(
                "CREATE TEMPORARY TABLE {there} AS SELECT a.part, a.line FROM ("
                "SELECT part, line, image, pg_catalog.row_number()"
                " OVER (PARTITION BY image ORDER BY place, line) AS copy FROM {archived}) a"
                " JOIN (SELECT image, pg_catalog.sum(copies) AS copies FROM {live} GROUP BY image)"
                " l ON l.image = a.image WHERE a.copy <= l.copies"
            ).format(there=_THERE, archived=_ARCHIVED, live=_LIVE),
            sql.SQL("CREATE INDEX ON {} (part, line)").format(_THERE),
            sql.SQL("ANALYZE {}").format(_THERE),
        )

    def _execute(self, *statements: sql.Composable) -> None:
        with connections[self._using].cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

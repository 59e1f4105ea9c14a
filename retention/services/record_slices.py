"""A record that is too large for one step goes in slices: children first, and within a cycle of
tables those rows first that no other row refers to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from psycopg import sql

from retention.services.record_ranks import rank_rows
from retention.services.record_stage import C, Stage

_CHAIN = sql.SQL("pg_temp.custody_records_chain")
"""The rows above a slice, up to its root: while these are as they were, the slice belongs there."""
_BEGINNING = (-1, -1, 0)
_LAST = 2**63 - 1


class Slices:
    """The one record in a stage of its own, and how much of it has gone."""

    def __init__(self, whole: Stage, beat: Callable[[], None]) -> None:
        self._whole, self._beat = whole, beat
        self._component = 0
        self._gone = self._going = _BEGINNING
        """Rank, number and id of the last row of its component that is gone, or goes now."""
        self._circle = [rank_rows(whole, each, beat) for each in whole.graph.components]
        for number in whole.numbers:
            whole.run(sql.SQL("DROP INDEX IF EXISTS {}").format(self._index(number)))
            whole.run(
                sql.SQL("CREATE INDEX {} ON {stage} ({rank}, {id})").format(
                    sql.Identifier(f"custody_whole_rank_{number}"), stage=whole.name(number), **C
                )
            )
        whole.analyze()
        whole.run(sql.SQL("DROP TABLE IF EXISTS {}").format(_CHAIN))
        whole.run(
            sql.SQL(
                "CREATE TEMPORARY TABLE {} (number pg_catalog.int4, id pg_catalog.int8,"
                " round pg_catalog.int4, PRIMARY KEY (number, id))"
            ).format(_CHAIN)
        )

    def _index(self, number: int) -> sql.Composable:
        return sql.SQL("pg_temp.{}").format(sql.Identifier(f"custody_whole_rank_{number}"))

    def select(self, staged: Stage, size: int) -> bool:
        """Stages the next rows that are to go, about `size` of them; False when none are left."""
        components = self._whole.graph.components
        while self._component < len(components):
            staged.empty()
            staged.files = self._whole.files
            if self._copy(staged, components[self._component], size):
                self._chain(staged)
                return True
            self._component += 1
            self._gone = _BEGINNING
        return False

    def went(self) -> None:
        """The rows that were selected are deleted."""
        self._gone = self._going

    def _copy(self, staged: Stage, component: Sequence[int], size: int) -> int:
        """Those that refer to each other in a circle come last, and are not parted."""
        circle = self._circle[self._component]
        upto = self._end(component, size, circle)
        if upto is None:
            return 0
        copied = 0
        for number in component:
            copied += staged.run(
                sql.SQL(
                    "INSERT INTO {stage} OVERRIDING SYSTEM VALUE SELECT * FROM {whole}"
                    " WHERE ({rank}, {id}) > ({after}) AND ({rank}, {id}) <= ({upto})"
                ).format(
                    stage=staged.name(number),
                    whole=self._whole.name(number),
                    after=_bound(self._gone, number),
                    upto=_bound(upto, number),
                    **C,
                )
            )
        self._going = upto
        return copied

    def _end(
        self, component: Sequence[int], size: int, circle: int | None
    ) -> tuple[int, int, int] | None:
        """The last row of the slice."""
        following = sql.SQL(" UNION ALL ").join(
            sql.SQL(
                "(SELECT {rank} AS rank, {number} AS number, {id} AS id FROM {whole}"
                " WHERE ({rank}, {id}) > ({after}) AND {rank} < {circle}"
                " ORDER BY {rank}, {id} LIMIT {size})"
            ).format(
                number=sql.Literal(number),
                whole=self._whole.name(number),
                after=_bound(self._gone, number),
                circle=sql.Literal(_LAST if circle is None else circle),
                size=sql.Literal(size),
                **C,
            )
            for number in component
        )
        found = self._whole.ask(
            sql.SQL(
                "SELECT rank, number, id FROM (SELECT * FROM ({following}) f"
                " ORDER BY rank, number, id LIMIT {size}) f"
                " ORDER BY rank DESC, number DESC, id DESC LIMIT 1"
            ).format(following=following, size=sql.Literal(size))
        )
        if found:
            rank, number, id_ = found[0]
            return rank, number, id_
        return None if circle is None else (circle + 1, -1, 0)

    # What is above.

    def above(self, number: int) -> sql.Composable:
        """The rows of this table that are above the slice, and do not go with it."""
        return sql.SQL(
            "SELECT s.* FROM {chain} f JOIN {whole} s ON s.{id} = f.id WHERE f.number = {number}"
        ).format(chain=_CHAIN, whole=self._whole.name(number), number=sql.Literal(number), **C)

    def _chain(self, staged: Stage) -> None:
        whole = self._whole
        whole.run(sql.SQL("TRUNCATE {}").format(_CHAIN))
        found = sum(
            whole.run(
                sql.SQL(
                    "INSERT INTO {chain} SELECT DISTINCT {by}, {via}, 0 FROM {stage}"
                    " WHERE {by} IS NOT NULL ON CONFLICT DO NOTHING"
                ).format(chain=_CHAIN, stage=staged.name(number), **C)
            )
            for number in whole.numbers
        )
        length = 0
        while found:
            self._beat()
            found = sum(whole.run(self._climb(number, length)) for number in whole.numbers)
            length += 1
        for number in whole.numbers:
            whole.run(
                sql.SQL(
                    "DELETE FROM {chain} f USING {stage} s WHERE f.number = {number}"
                    " AND f.id = s.{id}"
                ).format(chain=_CHAIN, stage=staged.name(number), number=sql.Literal(number), **C)
            )

    def _climb(self, number: int, length: int) -> sql.Composable:
        return sql.SQL(
            "INSERT INTO {chain} SELECT DISTINCT s.{by}, s.{via}, {higher}::pg_catalog.int4"
            " FROM {chain} f JOIN {whole} s ON s.{id} = f.id"
            " WHERE f.number = {number} AND f.round = {length} AND s.{by} IS NOT NULL"
            " ON CONFLICT DO NOTHING"
        ).format(
            chain=_CHAIN,
            whole=self._whole.name(number),
            higher=sql.Literal(length + 1),
            number=sql.Literal(number),
            length=sql.Literal(length),
            **C,
        )


def _bound(place: tuple[int, int, int], number: int) -> sql.Composable:
    """The place (rank, number, id) among the rows of one table, as rank and id: its index has both.

    Rows of one rank go in the order of their tables.
    """
    rank, at, id_ = place
    if number != at:
        id_ = 0 if number > at else _LAST
    return sql.SQL("{}, {}").format(sql.Literal(rank), sql.Literal(id_))

"""A record that is too large for one step goes in slices: children first, and within a cycle of
tables those rows first that no other row refers to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from psycopg import sql

from retention.selectors.references import refers
from retention.services.record_stage import C, Stage, stage

CHAIN = sql.SQL("pg_temp.custody_records_chain")
"""The rows above a slice, up to its root: while these are as they were, the slice belongs there."""


class Slices:
    """The one record in the stage, and what is left of it."""

    def __init__(self, staged: Stage, beat: Callable[[], None]) -> None:
        self._staged, self._beat = staged, beat
        staged.run(sql.SQL("DROP TABLE IF EXISTS {}").format(CHAIN))
        staged.run(
            sql.SQL(
                "CREATE TEMPORARY TABLE {} (number pg_catalog.int4, id pg_catalog.int8,"
                " round pg_catalog.int4, PRIMARY KEY (number, id))"
            ).format(CHAIN)
        )
        for component in staged.graph.components:
            self._rank(component)

    def select(self, size: int) -> bool:
        """Marks the next rows that are to go, about `size` of them; False when none are left."""
        staged = self._staged
        for component in staged.graph.components:
            if any(staged.count(number) for number in component):
                self._mark(component, size)
                self._chain()
                return True
        return False

    # The order.

    def _rank(self, component: Sequence[int]) -> None:
        """Rows of rank 0 are referred to by none of their component, those of 1 by rows of 0 ..."""
        staged = self._staged
        for number in component:
            staged.run(sql.SQL("UPDATE {} SET {rank} = 0").format(stage(number), **C))
        if not self._edges(component):
            return
        if len(component) == 1 and self._levels_tell(component[0]):
            staged.run(
                sql.SQL(
                    "UPDATE {stage} SET {rank} = (SELECT max({level}) FROM {stage}) - {level}"
                ).format(stage=stage(component[0]), **C)
            )
            return
        for number in component:
            staged.run(sql.SQL("UPDATE {} SET {rank} = NULL").format(stage(number), **C))
        rank = 0
        while self._peel(component, rank):
            self._beat()
            rank += 1
        # What is left refers to each other in a circle, or is referred to from one: all at once.
        for number in component:
            staged.run(
                sql.SQL("UPDATE {} SET {rank} = -1 WHERE {rank} IS NULL").format(stage(number), **C)
            )

    def _edges(self, component: Sequence[int]) -> list[tuple[int, int, sql.Composable]]:
        """Child, parent, and when a row `c` of the one refers to a row `p` of the other."""
        return [
            (
                each.child,
                each.parent,
                refers(each.key, self._staged.graph.tables[each.parent], child="c", referred="p"),
            )
            for each in self._staged.graph.references
            if each.child is not None
            and each.inside
            and {each.child, each.parent} <= set(component)
        ]

    def _levels_tell(self, number: int) -> bool:
        """Every row lies deeper than all that it refers to: so it is in a tree."""
        for _, _, refer in self._edges([number]):
            query = sql.SQL(
                "SELECT EXISTS (SELECT FROM {stage} c JOIN {stage} p ON {refer}"
                " WHERE c.{level} <= p.{level})"
            ).format(stage=stage(number), refer=refer, **C)
            if self._staged.ask(query)[0][0]:
                return False
        return True

    def _peel(self, component: Sequence[int], rank: int) -> int:
        edges = self._edges(component)
        return sum(self._peel_one(number, edges, rank) for number in component)

    def _peel_one(
        self, number: int, edges: list[tuple[int, int, sql.Composable]], rank: int
    ) -> int:
        free = [
            sql.SQL(
                "NOT EXISTS (SELECT FROM {children} c WHERE {refer}"
                " AND (c.{rank} IS NULL OR c.{rank} = {now_rank}){other})"
            ).format(
                children=stage(child),
                refer=refer,
                now_rank=sql.Literal(rank),
                # A row that refers to itself is in nobody's way.
                other=sql.SQL(" AND c.{id} <> p.{id}").format(**C)
                if child == number
                else sql.SQL(""),
                **C,
            )
            for child, parent, refer in edges
            if parent == number
        ]
        return self._staged.run(
            sql.SQL("UPDATE {stage} p SET {rank} = {now_rank} WHERE {where}").format(
                stage=stage(number),
                now_rank=sql.Literal(rank),
                where=sql.SQL(" AND ").join([sql.SQL("p.{rank} IS NULL").format(**C), *free]),
                **C,
            )
        )

    # One slice.

    def _mark(self, component: Sequence[int], size: int) -> None:
        staged = self._staged
        for number in range(len(staged.graph.tables)):
            staged.run(
                sql.SQL("UPDATE {} SET {now} = false WHERE {now}").format(stage(number), **C)
            )
        rows = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {number} AS number, {id} AS id, {rank} AS rank FROM {stage}").format(
                number=sql.Literal(number), stage=stage(number), **C
            )
            for number in component
        )
        if len(component) == 1 and not self._edges(component):
            first = sql.SQL("SELECT number, id FROM ({rows}) r ORDER BY id LIMIT {size}")
        else:
            # Those in circles come last, and are not parted.
            first = sql.SQL(
                "SELECT number, id FROM (SELECT number, id, rank, row_number() OVER ("
                "ORDER BY rank < 0, rank, id) AS place FROM ({rows}) r) r"
                " WHERE (rank >= 0 AND place <= {size}) OR (rank < 0 AND NOT EXISTS ("
                "SELECT FROM ({rows}) o WHERE o.rank >= 0))"
            )
        chosen = first.format(rows=rows, size=sql.Literal(size))
        for number in component:
            staged.run(
                sql.SQL(
                    "UPDATE {stage} s SET {now} = true FROM ({chosen}) f"
                    " WHERE f.number = {number} AND f.id = s.{id}"
                ).format(stage=stage(number), chosen=chosen, number=sql.Literal(number), **C)
            )

    def _chain(self) -> None:
        staged = self._staged
        staged.run(sql.SQL("TRUNCATE {}").format(CHAIN))
        numbers = range(len(staged.graph.tables))
        found = sum(
            staged.run(
                sql.SQL(
                    "INSERT INTO {chain} SELECT DISTINCT {by}, {via}, 0 FROM {stage}"
                    " WHERE {now} AND {by} IS NOT NULL ON CONFLICT DO NOTHING"
                ).format(chain=CHAIN, stage=stage(number), **C)
            )
            for number in numbers
        )
        length = 0
        while found:
            self._beat()
            found = sum(
                staged.run(
                    sql.SQL(
                        "INSERT INTO {chain} SELECT DISTINCT s.{by}, s.{via}, {next} FROM {chain} f"
                        " JOIN {stage} s ON s.{id} = f.id"
                        " WHERE f.number = {number} AND f.round = {length} AND s.{by} IS NOT NULL"
                        " ON CONFLICT DO NOTHING"
                    ).format(
                        chain=CHAIN,
                        stage=stage(number),
                        next=sql.Literal(length + 1),
                        number=sql.Literal(number),
                        length=sql.Literal(length),
                        **C,
                    )
                )
                for number in numbers
            )
            length += 1

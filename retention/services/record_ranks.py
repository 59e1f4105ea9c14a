"""In which order the rows of tables that refer to each other may go, when not all go at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from psycopg import sql

from retention.selectors.references import refers
from retention.services.record_stage import C, Stage

Edge = tuple[int, int, sql.Composable]
"""Child, parent, and when a row `c` of the one refers to a row `p` of the other."""


def rank_rows(staged: Stage, component: Sequence[int], beat: Callable[[], None]) -> int | None:
    """Rows of rank 0 are referred to by none of their component, those of 1 by rows of 0 ...

    Returns the rank of what refers to each other in a circle, or is referred to from one, and has
    to go at once; None when there is nothing of the kind.
    """
    edges = _edges(staged, component)
    if not edges:
        return None
    if len(component) == 1 and _levels_tell(staged, edges):
        staged.run(
            sql.SQL(
                "UPDATE {stage} SET {rank} = (SELECT max({level}) FROM {stage}) - {level}"
            ).format(stage=staged.name(component[0]), **C)
        )
        return None
    for number in component:
        staged.run(
            sql.SQL("UPDATE {stage} SET {rank} = NULL").format(stage=staged.name(number), **C)
        )
    rank = 0
    while sum([_peel(staged, number, edges, rank) for number in component]):
        beat()
        rank += 1
    left = sql.SQL("UPDATE {stage} SET {rank} = {last} WHERE {rank} IS NULL")
    circle = sum(
        [
            staged.run(left.format(stage=staged.name(number), last=sql.Literal(rank), **C))
            for number in component
        ]
    )
    return rank if circle else None


def _edges(staged: Stage, component: Sequence[int]) -> list[Edge]:
    return [
        (
            each.child,
            each.parent,
            refers(each.key, staged.graph.tables[each.parent], child="c", referred="p"),
        )
        for each in staged.graph.references
        if each.child is not None and each.inside and {each.child, each.parent} <= set(component)
    ]


def _levels_tell(staged: Stage, edges: Sequence[Edge]) -> bool:
    """Every row lies deeper than all that it refers to: so it is in a tree."""
    return not any(
        staged.ask(
            sql.SQL(
                "SELECT EXISTS (SELECT FROM {stage} c JOIN {stage} p ON {refer}"
                " WHERE c.{level} <= p.{level})"
            ).format(stage=staged.name(number), refer=refer, **C)
        )[0][0]
        for number, _, refer in edges
    )


def _peel(staged: Stage, number: int, edges: Sequence[Edge], rank: int) -> int:
    """Ranks the rows to which none of those refers that have no lower rank."""
    free = [
        sql.SQL(
            " AND NOT EXISTS (SELECT FROM {children} c WHERE {refer}"
            " AND (c.{rank} IS NULL OR c.{rank} = {this}){other})"
        ).format(
            children=staged.name(child),
            refer=refer,
            this=sql.Literal(rank),
            # A row that refers to itself is in nobody's way.
            other=sql.SQL(" AND c.{id} <> p.{id}" if child == number else "").format(**C),
            **C,
        )
        for child, parent, refer in edges
        if parent == number
    ]
    return staged.run(
        sql.SQL("UPDATE {stage} p SET {rank} = {this} WHERE p.{rank} IS NULL{free}").format(
            stage=staged.name(number),
            this=sql.Literal(rank),
            free=sql.SQL("").join(free),
            **C,
        )
    )

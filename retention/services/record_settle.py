"""A record goes whole or not at all: a row that is kept keeps its root, and all that only it holds.

Invariant: after it, no staged row is referred to by a row that stays.
"""

from __future__ import annotations

from psycopg import sql

from retention.selectors.dependents import Reference
from retention.selectors.references import refers
from retention.selectors.softdelete_marks import DELETION
from retention.services.record_stage import C, Stage


def settle(staged: Stage) -> int:
    """Drops what must not go from the stage; returns how many roots are kept by their dependents.

    A row that goes along with several goes with the first of them that goes.
    """
    if not _any_kept(staged):
        return 0
    _keep_upwards(staged)
    kept = sql.SQL("SELECT count(*) FROM {} WHERE {root} AND {kept}").format(staged.name(0), **C)
    roots: int = staged.ask(kept)[0][0]
    _go_downwards(staged)
    for number in staged.numbers:
        staged.run(sql.SQL("DELETE FROM {} WHERE NOT {goes}").format(staged.name(number), **C))
    return roots


def settle_together(staged: Stage) -> None:
    """The same for what is in the bin: all of a deletion that hangs together with a row that is
    kept, above it and below it, stays with it, so that it can be restored as it was.
    """
    if not _any_kept(staged):
        return
    edges = [each for each in staged.graph.references if each.inside]
    while sum([staged.run(_spread(staged, each)) + _spread_down(staged, each) for each in edges]):
        pass
    for number in staged.numbers:
        staged.run(sql.SQL("DELETE FROM {} WHERE {kept}").format(staged.name(number), **C))


def _spread_down(staged: Stage, each: Reference) -> int:
    assert each.child is not None
    if not {each.child, each.parent} <= staged.marked:
        return 0
    return staged.run(
        sql.SQL(
            "UPDATE {children} c SET {kept} = true FROM {parents} p"
            " WHERE p.{kept} AND NOT c.{kept} AND p.{deletion} = c.{deletion} AND {refers}"
        ).format(
            children=staged.name(each.child),
            parents=staged.name(each.parent),
            deletion=sql.Identifier(DELETION),
            refers=_refers(staged, each),
            **C,
        )
    )


def _any_kept(staged: Stage) -> bool:
    parts = [
        sql.SQL("EXISTS (SELECT FROM {} WHERE {kept})").format(staged.name(number), **C)
        for number in staged.numbers
    ]
    return bool(staged.ask(sql.SQL("SELECT {}").format(sql.SQL(" OR ").join(parts)))[0][0])


def _keep_upwards(staged: Stage) -> None:
    edges = [each for each in staged.graph.references if each.inside]
    while sum([staged.run(_spread(staged, each)) for each in edges]):
        pass


def _spread(staged: Stage, each: Reference) -> sql.Composable:
    assert each.child is not None
    return sql.SQL(
        "UPDATE {parents} p SET {kept} = true FROM {children} c"
        " WHERE c.{kept} AND NOT p.{kept} AND {refers}"
    ).format(
        parents=staged.name(each.parent),
        children=staged.name(each.child),
        refers=_refers(staged, each),
        **C,
    )


def _go_downwards(staged: Stage) -> None:
    for number in staged.numbers:
        goes = sql.SQL("UPDATE {} SET {goes} = ({root} AND NOT {kept})").format(
            staged.name(number), **C
        )
        staged.run(goes)
    while sum([staged.run(_take_along(staged, each)) for each in staged.graph.along]):
        pass


def _take_along(staged: Stage, each: Reference) -> sql.Composable:
    assert each.child is not None
    return sql.SQL(
        "UPDATE {children} c SET {goes} = true FROM {parents} p"
        " WHERE p.{goes} AND NOT c.{goes} AND {refers}"
    ).format(
        parents=staged.name(each.parent),
        children=staged.name(each.child),
        refers=_refers(staged, each),
        **C,
    )


def _refers(staged: Stage, each: Reference) -> sql.Composable:
    return refers(each.key, staged.graph.tables[each.parent], child="c", referred="p")

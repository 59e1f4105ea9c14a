"""Finds records: rows that are due, then level by level what goes along, before any is locked.

Filling a stage takes no row lock, and every statement is a transaction of its own, so it may take
its time. What it says may be out of date a moment later: the step that deletes locks the rows and
looks again (`record_check.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from psycopg import sql

from operations import vetoes
from operations.catalogue.types import TableName
from retention.selectors.dependents import Reference
from retention.selectors.due import due, not_kept
from retention.selectors.references import refers
from retention.selectors.softdelete_marks import is_active
from retention.services.record_stage import C, Stage

AT_A_TIME = 100_000
"""Rows that one statement finds: then it begins anew, and lets go of the tables in between."""
ANALYZED = 200
"""Rows from which on the planner is told how many there are."""


def add_roots(
    staged: Stage, leaf: TableName, where: sql.Composable, *, after: str | None, most: int
) -> str | None:
    """The first due rows `t` of the leaf that `where` lets through, in the order of their places;
    the place of the last one, or None when there are none.

    Raises Vetoed: the whole table is protected.
    """
    graph = staged.graph
    found = vetoes.protections(graph.root, using=staged.using)
    free = vetoes.unprotected(found, table=graph.root)
    # Where only active rows refer, `close` looks for them.
    keeping = [each.key for each in graph.into(0) if not each.inside and not each.active]
    conditions = [where, due(staged.rows, free, walking=True, keeping=keeping)]
    if after is not None:
        conditions.append(sql.SQL("t.ctid > {}::pg_catalog.tid").format(sql.Literal(after)))
    staged.run(
        sql.SQL(
            "INSERT INTO {stage} ({leaf}, {place}, {version}, {root}, {level}, {kept}{more})"
            " SELECT t.tableoid, t.ctid, t.xmin, true, 0, false{columns} FROM ONLY {table} t"
            " WHERE {where} ORDER BY t.ctid LIMIT {most}"
        ).format(
            stage=staged.name(0),
            more=staged.listed(0),
            columns=staged.listed(0, "t"),
            table=leaf.sql,
            where=sql.SQL(" AND ").join(conditions),
            most=sql.Literal(most),
            **C,
        )
    )
    query = sql.SQL("SELECT max({place})::pg_catalog.text FROM {stage}")
    last: str | None = staged.ask(query.format(stage=staged.name(0), **C))[0][0]
    return last


def close(staged: Stage, *, most: int | None, beat: Callable[[], None]) -> int:
    """Adds, level by level, what goes along with what is there; returns how many rows there are.

    Cycles end by themselves: what is staged is not staged again. With more than `most` rows it
    stops in between; None: however many there are.
    """
    kept = [keeps(staged, number) for number in staged.numbers]
    total = staged.count(0)
    level, after, upto = 0, [0] * len(staged.numbers), staged.last_ids()
    while after != upto and (most is None or total <= most):
        if total >= ANALYZED:
            staged.analyze()
        level += 1
        for each in staged.graph.along:
            assert each.child is not None
            if after[each.parent] == upto[each.parent]:
                continue
            parents = sql.SQL("p.{id} > {after} AND p.{id} <= {upto}").format(
                after=sql.Literal(after[each.parent]), upto=sql.Literal(upto[each.parent]), **C
            )
            found = limit = 0
            while found == limit and (most is None or total <= most):
                beat()
                limit = AT_A_TIME if most is None else min(AT_A_TIME, most - total + 1)
                found = _follow(staged, each, parents, kept[each.child], level=level, most=limit)
                total += found
        after, upto = upto, staged.last_ids()
    if most is None or total <= most:
        keep_referred(staged, again=False)
    return total


def _follow(
    staged: Stage,
    each: Reference,
    parents: sql.Composable,
    kept: sql.Composable,
    *,
    level: int,
    most: int,
) -> int:
    assert each.child is not None
    # Sorted, all is found before the first is staged: else the look at what is staged already might
    # go through what this very statement adds, over and over. By parent, besides: what belongs
    # together goes together.
    return staged.run(
        sql.SQL(
            "INSERT INTO {stage} ({leaf}, {place}, {version}, {root}, {level}, {by}, {via}, {kept}"
            "{more}) SELECT * FROM (SELECT t.tableoid, t.ctid, t.xmin, false, {deeper}, {parent},"
            " p.{id}, {keeps}{columns} FROM {table} t JOIN {above} p ON {refers}"
            " WHERE {parents} AND {active} AND NOT EXISTS (SELECT FROM {stage} s"
            " WHERE s.{leaf} = t.tableoid AND s.{place} = t.ctid) LIMIT {most}) f ORDER BY 7"
            " ON CONFLICT ({leaf}, {place}) DO NOTHING"
        ).format(
            stage=staged.name(each.child),
            more=staged.listed(each.child),
            deeper=sql.Literal(level),
            parent=sql.Literal(each.parent),
            keeps=kept,
            columns=staged.listed(each.child, "t"),
            table=each.key.table.sql,
            above=staged.name(each.parent),
            refers=refers(each.key, staged.graph.tables[each.parent], child="t", referred="p"),
            parents=parents,
            active=_counting(each, "t"),
            most=sql.Literal(most),
            **C,
        )
    )


def keeps(staged: Stage, number: int) -> sql.Composable:
    """Somebody protects row `t` of this table, or the policy's condition keeps it."""
    table = staged.graph.tables[number]
    found = vetoes.protections(table, using=staged.using)
    try:
        free = vetoes.unprotected(found, table=table)
    except vetoes.Vetoed:
        if number == 0:
            raise
        free = sql.SQL("false")
    if number == 0:
        # Also of a row that would go along with another.
        free = sql.SQL("{} AND {}").format(free, not_kept(staged.rows))
    return sql.SQL("NOT ({})").format(free)


def keep_referred(staged: Stage, *, again: bool) -> int:
    """Marks as kept, and counts, rows to which others refer that are not to go themselves.

    By joins: a foreign key without an index costs one look at its table, not one a row.

    Args:
        again: the rows are locked now, so rows that would go along and are not staged count, too.
    """
    return sum(
        staged.run(
            sql.SQL(
                "UPDATE {stage} p SET {kept} = true FROM {referring}"
                " WHERE NOT p.{kept} AND {refers}"
            ).format(
                stage=staged.name(each.parent),
                referring=referring(staged, each),
                refers=refers(each.key, staged.graph.tables[each.parent], child="c", referred="p"),
                **C,
            )
        )
        for each in staged.graph.references
        if again or not each.goes_along
    )


def referring(staged: Stage, each: Reference) -> sql.Composable:
    """The rows `c` that keep what they refer to: those that do not go along."""
    if not each.inside:
        return sql.SQL("(SELECT c.* FROM {} c WHERE {}) c").format(
            each.key.table.sql, _counting(each, "c")
        )
    assert each.child is not None
    return sql.SQL(
        "(SELECT c.* FROM {table} c WHERE {active} AND NOT EXISTS (SELECT FROM {stage} x"
        " WHERE x.{leaf} = c.tableoid AND x.{place} = c.ctid AND NOT x.{kept})) c"
    ).format(
        table=each.key.table.sql, active=_counting(each, "c"), stage=staged.name(each.child), **C
    )


def _counting(each: Reference, alias: str) -> sql.Composable:
    """The row of this alias counts among those that refer."""
    return is_active(alias) if each.active else sql.SQL("true")

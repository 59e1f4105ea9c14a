"""The staged rows, locked and looked at again, in the transaction that deletes them.

Parents are locked first: then no row that refers to them can come any more, and a statement that
begins after that sees every one that came. With a foreign key that cascades, a child nobody has
seen would be destroyed unarchived.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from psycopg import sql

from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Table
from retention.selectors.dependents import Reference
from retention.selectors.due import DueRows, expired
from retention.selectors.references import refers, same_key
from retention.services.purge_delete import lock_leaf
from retention.services.record_slices import CHAIN
from retention.services.record_stage import C, Stage, Target, stage

Limit = Callable[[], None]
"""Called before each statement: none may take longer than the step has left."""


def same_place(staged: Stage, targets: Sequence[Target]) -> bool:
    """Locks the partitions. Whether each is one still, and its rows are where they were found."""
    for target in targets:
        if not lock_leaf(target.leaf, target.table.name, using=staged.using):
            return False
    now = staged.files_now()
    return all(now.get(each.oid) == staged.files.get(each.oid) for each in targets)


def lock_rows(staged: Stage, targets: Sequence[Target], *, skip_locked: bool, limit: Limit) -> int:
    """Locks the rows that are to go, parents first; marks as kept, and counts, those that are gone,
    were changed, or (`skip_locked`) are locked by somebody.
    """
    kept = 0
    for target in _parents_first(staged, targets):
        limit()
        locked = _locked(target, skip_locked=skip_locked)
        count = staged.ask(
            sql.SQL("WITH locked AS MATERIALIZED ({}) SELECT count(*) FROM locked").format(locked)
        )[0][0]
        if count < target.rows:
            limit()
            kept += staged.run(
                sql.SQL(
                    "WITH locked AS MATERIALIZED ({locked}) UPDATE {stage} s SET {kept} = true"
                    " WHERE s.{leaf} = {oid} AND s.{now}"
                    " AND NOT EXISTS (SELECT FROM locked l WHERE l.place = s.{place})"
                ).format(
                    locked=locked, stage=stage(target.number), oid=sql.Literal(target.oid), **C
                )
            )
    return kept


def _parents_first(staged: Stage, targets: Sequence[Target]) -> list[Target]:
    order = [number for component in staged.graph.components for number in component]
    return sorted(targets, key=lambda each: order.index(each.number), reverse=True)


def _locked(target: Target, *, skip_locked: bool) -> sql.Composable:
    # The version says that every value is as it was staged.
    return sql.SQL(
        "SELECT t.ctid AS place FROM ONLY {leaf_table} t JOIN {stage} s"
        " ON t.ctid = s.{place} AND t.xmin = s.{version}"
        " WHERE s.{leaf} = {oid} AND s.{now} FOR UPDATE OF t{skip}"
    ).format(
        leaf_table=target.leaf.sql,
        stage=stage(target.number),
        oid=sql.Literal(target.oid),
        skip=sql.SQL(" SKIP LOCKED" if skip_locked else ""),
        **C,
    )


def keep_again(staged: Stage, targets: Sequence[Target], *, limit: Limit) -> int:
    """Marks as kept, and counts, rows that somebody protects or refers to now.

    In a statement of its own for each table, after all are locked.
    """
    kept = 0
    for target in targets:
        reasons = [staged.keeps(target.number), *_from_outside(staged, target.number)]
        limit()
        kept += staged.run(
            sql.SQL(
                "UPDATE {stage} s SET {kept} = true FROM ONLY {leaf_table} t"
                " WHERE t.ctid = s.{place} AND s.{leaf} = {oid} AND s.{now} AND NOT s.{kept}"
                " AND ({reasons})"
            ).format(
                stage=stage(target.number),
                leaf_table=target.leaf.sql,
                oid=sql.Literal(target.oid),
                reasons=sql.SQL(" OR ").join(reasons),
                **C,
            )
        )
    return kept


def referred_from_outside(staged: Stage, target: Target) -> bool:
    """A row that does not go refers to one that is to go: a trigger of the application's made it,
    while what goes along was deleted.
    """
    reasons = _from_outside(staged, target.number)
    if not reasons:
        return False
    query = sql.SQL(
        "SELECT EXISTS (SELECT FROM ONLY {leaf_table} t JOIN {stage} s ON {same}"
        " WHERE s.{leaf} = {oid} AND s.{now} AND ({reasons}))"
    ).format(
        leaf_table=target.leaf.sql,
        stage=stage(target.number),
        same=same_row(target.table),
        oid=sql.Literal(target.oid),
        reasons=sql.SQL(" OR ").join(reasons),
        **C,
    )
    return bool(staged.ask(query)[0][0])


def _from_outside(staged: Stage, number: int) -> list[sql.Composable]:
    """A row of the graph's tables refers to row `t` of this table, and does not go with it."""
    return [_one_from_outside(staged, each) for each in staged.graph.into(number) if each.inside]


def _one_from_outside(staged: Stage, each: Reference) -> sql.Composable:
    assert each.child is not None
    return sql.SQL(
        "EXISTS (SELECT FROM {children} child WHERE {refers} AND NOT EXISTS ("
        "SELECT FROM {stage} x WHERE x.{leaf} = child.tableoid AND x.{place} = child.ctid"
        " AND x.{now} AND NOT x.{kept}))"
    ).format(
        children=each.key.table.sql,
        refers=refers(each.key, staged.graph.tables[each.parent], child="child", referred="t"),
        stage=stage(each.child),
        **C,
    )


def same_row(table: Table) -> sql.Composable:
    """Row `t` is the staged row `s`, also when a trigger changed it since it was locked."""
    if table.key is None:
        return sql.SQL("t.ctid = s.{place}").format(**C)
    return same_key(table, "t", "s")


def chain_holds(staged: Stage, rows: DueRows, *, skip_locked: bool, limit: Limit) -> bool:
    """Locks the rows above a slice. Whether they still lead to a root that is due, and nothing
    keeps any of them.
    """
    for number, table in enumerate(staged.graph.tables):
        above = sql.SQL(
            "SELECT s.* FROM {chain} f JOIN {stage} s ON s.{id} = f.id"
            " WHERE f.number = {number} AND NOT s.{now}"
        ).format(chain=CHAIN, stage=stage(number), number=sql.Literal(number), **C)
        limit()
        wanted = staged.ask(sql.SQL("SELECT count(*) FROM ({}) s").format(above))[0][0]
        if not wanted:
            continue
        same = _unchanged(staged, number, table)
        locked = sql.SQL(
            "WITH above AS MATERIALIZED ({above}), locked AS MATERIALIZED ("
            "SELECT t.ctid FROM {table} t JOIN above s ON {same} FOR UPDATE OF t{skip})"
            " SELECT count(*) FROM locked"
        ).format(
            above=above,
            table=table.name.sql,
            same=same,
            skip=sql.SQL(" SKIP LOCKED" if skip_locked else ""),
        )
        limit()
        if staged.ask(locked)[0][0] != wanted:
            return False
        good = sql.SQL("NOT {} AND (NOT s.{root} OR {})").format(
            staged.keeps(number),
            expired(rows) if number == 0 else sql.SQL("true"),
            **C,
        )
        limit()
        free = sql.SQL(
            "WITH above AS MATERIALIZED ({above}) SELECT count(*) FROM {table} t"
            " JOIN above s ON {same} WHERE {good}"
        ).format(above=above, table=table.name.sql, same=same, good=good)
        if staged.ask(free)[0][0] != wanted:
            return False
    return True


def _unchanged(staged: Stage, number: int, table: Table) -> sql.Composable:
    """Another version of the row will do, as long as what foreign keys compare is the same."""
    if table.key is None:
        return sql.SQL(
            "t.tableoid = s.{leaf} AND t.ctid = s.{place} AND t.xmin = s.{version}"
        ).format(**C)
    names = staged.columns(number)
    rows = [
        sql.SQL("ROW({})").format(sql.SQL(", ").join(Identifier(alias, name) for name in names))
        for alias in ("t", "s")
    ]
    return sql.SQL("{} AND pg_catalog.record_image_eq({}, {})").format(
        same_key(table, "t", "s"), *rows
    )

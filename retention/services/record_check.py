"""The staged rows, locked and looked at again, in the transaction that deletes them.

Parents are locked first: then no row that refers to them can come any more, and a statement that
begins after that sees every one that came. With a foreign key that cascades, a child nobody has
seen would be destroyed unarchived.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.db import connections
from psycopg import sql

from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Table
from retention.selectors.due import expired, no_reference
from retention.selectors.references import refers, same_key
from retention.services.purge_delete import lock_leaf
from retention.services.record_fill import keep_referred, keeps, referring
from retention.services.record_slices import Slices
from retention.services.record_stage import C, Stage, Target

_CLOSE = 0.05


class Limit:
    """Called before each statement of a step: none may take longer than the step has left.

    What is too much is to be cancelled. The limit on the transaction costs the session.
    """

    def __init__(self, ends: float, *, using: str) -> None:
        """`ends` is on `time.monotonic()`'s clock."""
        self._ends, self._using = ends, using
        self._told = float("inf")

    def __call__(self) -> None:
        left = max(self._ends - time.monotonic(), _CLOSE)
        if self._told - left < _CLOSE:
            return
        with connections[self._using].cursor() as cursor:
            cursor.execute(
                "SELECT pg_catalog.set_config('statement_timeout', %s, true)",
                [f"{int(left * 1000)}ms"],
            )
        self._told = left


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
        locked = _locked(staged, target, skip_locked=skip_locked)
        count = staged.ask(
            sql.SQL("WITH locked AS MATERIALIZED ({}) SELECT count(*) FROM locked").format(locked)
        )[0][0]
        if count < target.rows:
            limit()
            kept += staged.run(
                sql.SQL(
                    "WITH locked AS MATERIALIZED ({locked}) UPDATE {stage} s SET {kept} = true"
                    " WHERE s.{leaf} = {oid}"
                    " AND NOT EXISTS (SELECT FROM locked l WHERE l.place = s.{place})"
                ).format(
                    locked=locked,
                    stage=staged.name(target.number),
                    oid=sql.Literal(target.oid),
                    **C,
                )
            )
    return kept


def _parents_first(staged: Stage, targets: Sequence[Target]) -> list[Target]:
    order = [number for component in staged.graph.components for number in component]
    return sorted(targets, key=lambda each: order.index(each.number), reverse=True)


def _locked(staged: Stage, target: Target, *, skip_locked: bool) -> sql.Composable:
    # The version says that every value is as it was staged.
    return sql.SQL(
        "SELECT t.ctid AS place FROM ONLY {leaf_table} t JOIN {stage} s"
        " ON t.ctid = s.{place} AND t.xmin = s.{version}"
        " WHERE s.{leaf} = {oid} FOR UPDATE OF t{skip}"
    ).format(
        leaf_table=target.leaf.sql,
        stage=staged.name(target.number),
        oid=sql.Literal(target.oid),
        skip=sql.SQL(" SKIP LOCKED" if skip_locked else ""),
        **C,
    )


def keep_again(staged: Stage, targets: Sequence[Target], *, limit: Limit) -> int:
    """Marks as kept, and counts, rows that somebody protects or refers to now.

    In statements of their own, after all are locked: nobody can come to refer to them any more.
    """
    kept = 0
    for target in targets:
        reason = keeps(staged, target.number)
        limit()
        kept += staged.run(
            sql.SQL(
                "UPDATE {stage} s SET {kept} = true FROM ONLY {leaf_table} t"
                " WHERE t.ctid = s.{place} AND s.{leaf} = {oid} AND NOT s.{kept}"
                " AND {reason}"
            ).format(
                stage=staged.name(target.number),
                leaf_table=target.leaf.sql,
                oid=sql.Literal(target.oid),
                reason=reason,
                **C,
            )
        )
    limit()
    return kept + keep_referred(staged, again=True)


def referred_from_outside(staged: Stage, number: int) -> bool:
    """A row that does not go refers to one of this table that is to go: a trigger of the
    application's made it, while what goes along was deleted.
    """
    reasons = [
        sql.SQL("EXISTS (SELECT FROM {stage} p JOIN {referring} ON {refers})").format(
            stage=staged.name(number),
            referring=referring(staged, each),
            refers=refers(each.key, staged.graph.tables[number], child="c", referred="p"),
            **C,
        )
        for each in staged.graph.into(number)
        if each.inside
    ]
    if not reasons:
        return False
    return bool(staged.ask(sql.SQL("SELECT {}").format(sql.SQL(" OR ").join(reasons)))[0][0])


def same_row(table: Table) -> sql.Composable:
    """Row `t` is the staged row `s`, also when a trigger changed it since it was locked."""
    if table.key is None:
        return sql.SQL("t.ctid = s.{place}").format(**C)
    return same_key(table, "t", "s")


def chain_holds(staged: Stage, slices: Slices, *, skip_locked: bool, limit: Limit) -> bool:
    """Locks the rows above a slice. Whether they still lead to a root that is due, and nothing
    keeps any of them.
    """
    for number, table in enumerate(staged.graph.tables):
        above = slices.above(number)
        limit()
        wanted = staged.ask(sql.SQL("SELECT count(*) FROM ({}) s").format(above))[0][0]
        if not wanted:
            continue
        rows = sql.SQL(
            "WITH above AS MATERIALIZED ({above}), found AS MATERIALIZED ("
            "SELECT t.ctid FROM {table} t JOIN above s ON {same}{more})"
            " SELECT count(*) FROM found"
        )
        same = _unchanged(staged, number, table)
        lock = sql.SQL(" FOR UPDATE OF t SKIP LOCKED" if skip_locked else " FOR UPDATE OF t")
        good = sql.SQL(" WHERE {}").format(_still_goes(staged, number))
        for more in (lock, good):
            limit()
            query = rows.format(above=above, table=table.name.sql, same=same, more=more)
            if staged.ask(query)[0][0] != wanted:
                return False
    return True


def _still_goes(staged: Stage, number: int) -> sql.Composable:
    """Row `t`, staged as `s`, is due if it is a root, and nothing outside the record keeps it."""
    table = staged.graph.tables[number]
    parts: list[sql.Composable] = [sql.SQL("NOT {}").format(keeps(staged, number))]
    parts += [no_reference(e.key, table) for e in staged.graph.into(number) if not e.inside]
    if number == 0:
        parts.append(sql.SQL("(NOT s.{root} OR {due})").format(due=expired(staged.rows), **C))
    return sql.SQL(" AND ").join(parts)


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

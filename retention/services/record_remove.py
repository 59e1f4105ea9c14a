"""Deletes the rows that were locked and looked at, children first, and streams them out.

Invariant: what is archived is what DELETE itself returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from psycopg import sql

from operations.batches.application_path import application_path
from operations.runs.kinds import StepStalled
from retention.services.copy_out import Sink, copy_out
from retention.services.layout import COPY_OPTIONS, column_list, stored_columns
from retention.services.record_check import Limit, referred_from_outside, same_row
from retention.services.record_stage import C, Stage, Target

_HEADLESS = COPY_OPTIONS.replace("HEADER true", "HEADER false")


class RowsStay(StepStalled):
    """A trigger of the application's kept rows, or made others that refer to them."""


@dataclass(frozen=True)
class Removed:
    """Rows of one table that one step deleted."""

    number: int
    rows: int
    targets: tuple[Target, ...]


Open = Callable[[int], Sink | None]
"""Where the rows of the graph's table with this number go; None: they are not kept."""


def returned(number: int) -> sql.Composable:
    """The temporary table for what one statement deletes from several tables at once."""
    return sql.SQL("pg_temp.{}").format(sql.Identifier(f"custody_returned_{number}"))


def delete_rows(
    staged: Stage, targets: Sequence[Target], *, sinks: Open, limit: Limit
) -> list[Removed]:
    """Raises RowsStay when not every one of them could be deleted."""
    removed: list[Removed] = []
    for component in staged.graph.components:
        here = [each for each in targets if each.number in component]
        if not here:
            continue
        for number in {each.number for each in here} if removed else ():
            limit()
            if referred_from_outside(staged, number):
                table = staged.graph.tables[number].name
                raise RowsStay(f"A trigger made a row that refers to a row of {table}.")
        if len(here) > 1 and _in_a_circle(staged, component):
            found = _together(staged, here, sinks=sinks, limit=limit)
        else:
            found = _one_by_one(staged, here, sinks=sinks, limit=limit)
        removed += found
    return removed


def _in_a_circle(staged: Stage, component: Sequence[int]) -> bool:
    """Its rows may refer to each other: what is checked at a statement's end needs them all."""
    return any(
        each.inside and each.child in component and each.parent in component
        for each in staged.graph.references
    )


def _check(target: Target, rows: int) -> None:
    if rows != target.rows:
        raise RowsStay(
            f"{target.rows:,} rows of {target.leaf} were to be deleted and {rows:,} were: "
            "a trigger or a rule keeps some."
        )


# Each in a statement of its own.


def _one_by_one(
    staged: Stage, targets: Sequence[Target], *, sinks: Open, limit: Limit
) -> list[Removed]:
    found = []
    for number in dict.fromkeys(each.number for each in targets):
        here = tuple(each for each in targets if each.number == number)
        sink = sinks(number)
        for place, target in enumerate(here):
            limit()
            with application_path(target.leaf, using=staged.using):
                rows = _delete(staged, target, sink, head=place == 0)
            _check(target, rows)
        found.append(Removed(number, sum(each.rows for each in here), here))
    return found


def _delete(staged: Stage, target: Target, sink: Sink | None, *, head: bool) -> int:
    if sink is None:
        return staged.run(_statement(staged, target, None))
    names = column_list(stored_columns(target.table), alias="t")
    copy = sql.SQL("COPY ({}) TO STDOUT ({})").format(
        _statement(staged, target, names), sql.SQL(COPY_OPTIONS if head else _HEADLESS)
    )
    return copy_out(copy, sink, using=staged.using)


def _statement(staged: Stage, target: Target, returning: sql.Composable | None) -> sql.Composable:
    statement = sql.SQL(
        "DELETE FROM ONLY {leaf_table} t USING {stage} s WHERE s.{leaf} = {oid} AND {same}"
    ).format(
        leaf_table=target.leaf.sql,
        stage=staged.name(target.number),
        oid=sql.Literal(target.oid),
        same=same_row(target.table),
        **C,
    )
    if returning is None:
        return statement
    return sql.SQL("{} RETURNING {}").format(statement, returning)


# All in one statement.


def make_room(staged: Stage) -> None:
    """The tables for what is returned, in the session's own schema; empty after each commit."""
    for component in staged.graph.components:
        if not _in_a_circle(staged, component):
            continue
        for number in component:
            table = staged.graph.tables[number]
            staged.run(sql.SQL("DROP TABLE IF EXISTS {}").format(returned(number)))
            staged.run(
                sql.SQL(
                    "CREATE TEMPORARY TABLE {} ON COMMIT DELETE ROWS AS SELECT {} FROM {} LIMIT 0"
                ).format(returned(number), column_list(stored_columns(table)), table.name.sql)
            )


def _together(
    staged: Stage, targets: Sequence[Target], *, sinks: Open, limit: Limit
) -> list[Removed]:
    numbers = list(dict.fromkeys(each.number for each in targets))
    into = {number: sinks(number) for number in numbers}
    limit()
    with application_path(targets[0].leaf, using=staged.using):
        counts = staged.ask(_all_at_once(staged, targets, keep=any(into.values())))[0]
    for target, rows in zip(targets, counts, strict=True):
        _check(target, rows)
    for number, sink in into.items():
        if sink is not None:
            limit()
            names = column_list(stored_columns(staged.graph.tables[number]))
            copy_out(
                sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT ({})").format(
                    names, returned(number), sql.SQL(COPY_OPTIONS)
                ),
                sink,
                using=staged.using,
            )
    return [
        Removed(number, sum(each.rows for each in here), here)
        for number in numbers
        if (here := tuple(each for each in targets if each.number == number))
    ]


def _all_at_once(staged: Stage, targets: Sequence[Target], *, keep: bool) -> sql.Composable:
    """The number of rows deleted from each."""
    parts: list[sql.Composable] = []
    counts: list[sql.Composable] = []
    for place, target in enumerate(targets):
        deleted, kept = sql.Identifier(f"deleted {place}"), sql.Identifier(f"kept {place}")
        columns = stored_columns(target.table)
        returning = column_list(columns, alias="t") if keep else sql.SQL("true")
        parts.append(sql.SQL("{} AS ({})").format(deleted, _statement(staged, target, returning)))
        if keep:
            parts.append(
                sql.SQL("{} AS (INSERT INTO {} ({}) SELECT * FROM {})").format(
                    kept, returned(target.number), column_list(columns), deleted
                )
            )
        counts.append(sql.SQL("(SELECT count(*) FROM {})").format(deleted))
    return sql.SQL("WITH {} SELECT {}").format(
        sql.SQL(", ").join(parts), sql.SQL(", ").join(counts)
    )

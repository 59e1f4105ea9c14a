"""How many rows there are of each kind: counted where there is time for it, else estimated.

A table of up to SMALL pages is counted at once. Of a larger one a sample of pages is read first,
which takes a fraction of a second however large the table is; then all of it is counted in the
time that is left, if the sample says that it may be done by then. Where not even a sample can be
had, PostgreSQL's planner is asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.db import DatabaseError
from psycopg import sql

from retention.selectors.preview_budget import Budget, TooSlow
from retention.selectors.preview_pass import (
    Look,
    age,
    ages,
    candidate,
    due_row,
    tallies,
    width,
    worth_counting,
)
from retention.selectors.preview_tally import (
    Ages,
    Counts,
    Tally,
    from_page_tallies,
    from_tally,
    planned,
)

SMALL = 4_000
"""Pages: 31 MiB."""
SAMPLE = 4_000
"""Pages that are read of a larger table."""
SAMPLE_SECONDS = 1.2
KEEP = 1.5
"""Seconds that counting leaves for the rows that are shown and for the dependents."""
FASTER = 8
"""Times that reading a page in its turn, by several workers, may be faster than one of a sample."""
SEED = 1
"""The same sample for everybody who looks at the same rows."""


def count(
    look: Look, budget: Budget, *, using: str, quick_references: bool = True, seed: int = SEED
) -> Counts:
    """Never raises TooSlow: what cannot be counted is estimated, and says so.

    Args:
        quick_references: what refers to the table is indexed, or small.
    """
    if look.table.pages <= SMALL:
        try:
            return _small(look, budget, using)
        except TooSlow:
            pass
    plain = replace(look, references=False)
    found = _first(
        lambda: _sample(look if quick_references else plain, budget, using, SAMPLE, seed),
        lambda: _sample(plain, budget, using, SAMPLE // 16, seed),
    )
    if found is None:
        return _planned(look, budget, using)
    if _hopeless(look, found, budget):
        return found
    try:
        return _large(look, found, budget, using)
    except TooSlow:
        return found


def _first(*ways: Callable[[], Counts]) -> Counts | None:
    for way in ways:
        try:
            return way()
        except TooSlow:
            continue
        except DatabaseError:
            # A kind of table that cannot be sampled; what else is wrong the planner will say too.
            return None
    return None


def _small(look: Look, budget: Budget, using: str) -> Counts:
    query = sql.SQL("SELECT {}, {}, avg({}) FILTER (WHERE {}) FROM {} t").format(
        ages(look), tallies(look), width(look.table), due_row(look), look.table.name.sql
    )
    with budget.limited(60, using=using, keep=KEEP) as cursor:
        cursor.execute(query)
        *row, row_bytes = cursor.fetchone()
    return from_tally(look, Tally.of(row[3:]), Ages.of(*row[:3]), row_bytes=row_bytes)


def _sample(look: Look, budget: Budget, using: str, pages: int, seed: int) -> Counts:
    percent = min(100 * pages / look.table.pages, 100.0)
    # A page's number is the first half of a ctid as it is sent. Ages are compared by PostgreSQL:
    # as text, a year before Christ would come last.
    query = sql.SQL(
        "SELECT min(min({age}) FILTER (WHERE {due})) OVER ()::text,"
        " max(max({age}) FILTER (WHERE {due})) OVER ()::text, max(max({age})) OVER ()::text,"
        " avg({width}) FILTER (WHERE {due}), {tallies}"
        " FROM {table} t TABLESAMPLE SYSTEM ({percent}) REPEATABLE ({seed})"
        " GROUP BY t.tableoid, pg_catalog.substr(pg_catalog.tidsend(t.ctid), 1, 4)"
    ).format(
        tallies=tallies(look),
        width=width(look.table),
        due=due_row(look),
        age=age(look.rows),
        table=look.table.name.sql,
        percent=sql.Literal(percent),
        seed=sql.Literal(seed),
    )
    before = budget.taken
    with budget.limited(SAMPLE_SECONDS, using=using, keep=KEEP) as cursor:
        cursor.execute(query)
        rows = cursor.fetchall()
    return from_page_tallies(
        look,
        [(Tally.of(row[4:]), row[3]) for row in rows],
        Ages.of(*rows[0][:3]) if rows else Ages(),
        share=percent / 100,
        seconds=budget.taken - before,
    )


def _hopeless(look: Look, found: Counts, budget: Budget) -> bool:
    """Counting would be broken off anyway, and had kept the server busy for nothing."""
    if _few(found):
        return False
    needed = found.seconds / max(found.pages, 1) * look.table.pages / FASTER
    return needed > budget.left - KEEP


def _few(found: Counts) -> bool:
    """So few rows are to be counted that an index on the age may lead to them."""
    return found.total.value - found["young"].value < found.total.value / 10


def _large(look: Look, found: Counts, budget: Budget, using: str) -> Counts:
    """All rows; where others refer to them, in a second statement that joins.

    Raises TooSlow, unless it is only the second that takes too long.
    """
    plain = replace(look, references=False)
    few = _few(found) and _by_index(look, budget, using)
    where = sql.SQL("WHERE {}").format(worth_counting(look)) if few else sql.SQL("")
    query = sql.SQL("SELECT {}, {} FROM {} t {}").format(
        ages(plain), tallies(plain), look.table.name.sql, where
    )
    with budget.limited(60, using=using, keep=KEEP) as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    exact = from_tally(
        plain,
        Tally.of(row[3:]),
        Ages.of(*row[:3]),
        row_bytes=found.row_bytes,
        total=found.total if few else None,
    )
    if not look.keeping:
        return exact
    try:
        return exact.with_due(*_not_referenced(look, budget, using))
    except TooSlow:
        return exact.like(found)


def _not_referenced(look: Look, budget: Budget, using: str) -> tuple[int, str | None, str | None]:
    query = sql.SQL(
        "SELECT count(*), min({age})::text, max({age})::text FROM {table} t WHERE {due}"
    )
    with budget.limited(60, using=using, keep=KEEP) as cursor:
        cursor.execute(
            query.format(age=age(look.rows), table=look.table.name.sql, due=due_row(look))
        )
        number, oldest, newest = cursor.fetchone()
    return number, oldest, newest


def _by_index(look: Look, budget: Budget, using: str) -> bool:
    """The planner would look for the few rows in an index, not in the whole table."""
    query = sql.SQL("SELECT FROM {} t WHERE {}").format(look.table.name.sql, worth_counting(look))
    return "Index" in json.dumps(_plan(query, budget, using))


def _planned(look: Look, budget: Budget, using: str) -> Counts:
    query = sql.SQL("SELECT FROM {} t WHERE {}").format(look.table.name.sql, candidate(look))
    rows = int(_plan(query, budget, using)["Plan Rows"])
    return planned(look, rows)


def _plan(query: sql.Composable, budget: Budget, using: str) -> dict[str, Any]:
    with budget.limited(1, using=using) as cursor:
        cursor.execute(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(query))
        plan: dict[str, Any] = cursor.fetchone()[0][0]["Plan"]
    return plan

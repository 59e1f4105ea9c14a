"""How many rows would go along, found out on the records that are due first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError, connections, transaction
from psycopg import errors, sql

from retention.selectors.dependents import Graph
from retention.selectors.due import DueRows
from retention.services.record_fill import add_roots, close
from retention.services.record_settle import settle
from retention.services.record_stage import Stage

SECONDS = 4.0
"""For all of it: what is not known by then is not known."""
FIRST_ROOTS = 2_000
MOST_ROWS = 200_000
FEW = 20
"""Records of which no smaller number is looked at."""


@dataclass(frozen=True)
class RecordCounts:
    """Rows that would go, by the number of their table."""

    rows: tuple[int | None, ...]
    """None where it could not be told in time."""
    kept: int
    """Due rows that something which would go along with them keeps."""
    estimated: bool
    """From a part of the records."""


def record_counts(
    graph: Graph, rows: DueRows, *, due: int, using: str, seconds: float = SECONDS
) -> RecordCounts:
    """Looks at some of the `due` records, at all of them when they are few. Changes nothing.

    Args:
        seconds: for all of it, and a quarter of it more for a last and smaller try.
    """
    if due == 0 or not graph.named:
        return RecordCounts((due,) * len(graph.tables), 0, estimated=False)
    ends = time.monotonic() + seconds
    most = FIRST_ROOTS
    while most and (left := ends - time.monotonic()) > 0:
        try:
            with _time_limit(left, using):
                sample = _sample(graph, rows, most, using)
        except OperationalError as error:
            if not isinstance(error.__cause__, errors.QueryCanceled):
                raise
            sample = None
        if sample is not None:
            return _scaled(sample, due)
        most = most // 10 if most > FEW else 0
        # The next is to have its time, too.
        ends = max(ends, time.monotonic() + seconds / 4)
    return RecordCounts((due, *(None,) * (len(graph.tables) - 1)), 0, estimated=True)


@dataclass(frozen=True)
class _Sample:
    roots: int
    kept: int
    rows: list[int]
    whole: bool = True
    """False: it stopped in the middle."""


def _sample(graph: Graph, rows: DueRows, most: int, using: str) -> _Sample | None:
    """None: these are too many already."""
    stage = Stage(graph, rows, using=using)
    try:
        stage.empty()
        for leaf in sorted(graph.root.leaves or (graph.root.name,)):
            found = stage.count(0)
            if found < most:
                add_roots(stage, leaf, sql.SQL("true"), after=None, most=most - found)
        roots = stage.count(0)
        if close(stage, most=MOST_ROWS, beat=lambda: None) <= MOST_ROWS:
            return _Sample(roots, settle(stage), stage.counts())
        # A few records that are very large: there are at least so many rows.
        return None if most > FEW else _Sample(roots, 0, stage.counts(), whole=False)
    finally:
        stage.drop()


def _scaled(sample: _Sample, due: int) -> RecordCounts:
    if not sample.whole:
        return RecordCounts((due, *sample.rows[1:]), 0, estimated=True)
    if sample.roots >= due:
        return RecordCounts(tuple(sample.rows), sample.kept, estimated=False)
    factor = due / sample.roots if sample.roots else 0.0
    counts = tuple(round(count * factor) for count in sample.rows)
    return RecordCounts(counts, round(sample.kept * factor), estimated=True)


@contextmanager
def _time_limit(seconds: float, using: str) -> Iterator[None]:
    """For each statement. Without a transaction, which would keep holds waiting for its end."""
    inside = connections[using].in_atomic_block
    before = _setting(using)
    with transaction.atomic(using=using) if inside else nullcontext():
        _set(f"{max(int(seconds * 1000), 1)}ms", using)
        try:
            yield
        except OperationalError:
            if not inside:
                _set(before, using)
            # Else it goes back with the savepoint.
            raise
        _set(before, using)


def _setting(using: str) -> str:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_catalog.current_setting('statement_timeout')")
        found: str = cursor.fetchone()[0]
        return found


def _set(value: str, using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_catalog.set_config('statement_timeout', %s, false)", [value])


def counts_facts(graph: Graph, counts: RecordCounts) -> dict[str, Any]:
    """What an approver is shown of the tables, and of the foreign keys between them."""
    return {
        "tables": [
            {"table": str(table.name), "rows": rows, "estimated": counts.estimated}
            for table, rows in zip(graph.tables, counts.rows, strict=True)
        ],
        **({"kept_by_dependents": counts.kept} if graph.named else {}),
        "foreign_keys": [
            {
                "name": each.key.name,
                "table": str(each.key.table),
                "references": str(graph.tables[each.parent].name),
                "on_delete": each.key.on_delete,
                "means": each.meaning,
                "indexed": each.key.indexed,
            }
            for each in graph.references
        ],
    }

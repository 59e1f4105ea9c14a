"""How much room and time a purge would take."""

from __future__ import annotations

import statistics

from django.db import connections
from django.db.models import Sum

from operations.catalogue.types import Table
from operations.models import Run
from operations.runs.states import RunState
from retention.models import Archive
from retention.selectors.preview_amounts import Amount
from retention.selectors.preview_result import Duration, Space
from retention.selectors.preview_tally import Counts

ROWS_A_SECOND = 1_000_000
ARCHIVED_BYTES_A_SECOND = 50 * 1024 * 1024
"""Measured on two cores with rows of 150 bytes: docs/performance.md."""
ENOUGH = 1_000
"""Rows of a run that tell something about the rate."""
RUNS = 5

_INDEXES = """
SELECT coalesce(sum(pg_catalog.pg_indexes_size(c.oid)), 0)::int8
FROM unnest(%s::text[], %s::text[]) AS l (schema, name)
JOIN pg_catalog.pg_namespace n ON n.nspname = l.schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = l.name
"""


def space(counts: Counts, table: Table, *, policy: str, archives: bool, using: str) -> Space:
    """By what a row takes on average; an archive by earlier ones of the policy of this name."""
    due = counts["due"]
    reusable = None
    if counts.row_bytes is not None and counts.total.value:
        of_indexes = _index_bytes(table, using) / counts.total.value
        reusable = due.times(counts.row_bytes + of_indexes)
    return Space(reusable, _archive(due, policy) if archives else None)


def _index_bytes(table: Table, using: str) -> int:
    leaves = table.leaves or (table.name,)
    with connections[using].cursor() as cursor:
        cursor.execute(_INDEXES, [[leaf.schema for leaf in leaves], [leaf.name for leaf in leaves]])
        size: int = cursor.fetchone()[0]
    return size


def _archive(due: Amount, policy: str) -> Amount | None:
    sums = Archive.objects.filter(
        policy__name=policy, root=None, state=Archive.State.COMPLETE
    ).aggregate(rows=Sum("rows"), bytes=Sum("bytes"))
    return due.times(sums["bytes"] / sums["rows"]) if sums["rows"] else None


def duration(counts: Counts, *, policy: str, archives: bool) -> Duration:
    """By the last runs of the policy of this name; without any, by what was measured once."""
    rows = counts["due"].value
    runs = Run.objects.filter(
        kind="purge", subject=policy, state=RunState.SUCCEEDED, done__gte=ENOUGH
    ).order_by("-id")[:RUNS]
    rates = [run.rate for run in runs if run.rate]
    if rates:
        rate = statistics.median(rates)
        several = f"the last {len(rates)} runs" if len(rates) > 1 else "the last run"
        return Duration(rows / rate, rate, f"the rate of {several} of this policy")
    seconds = rows / ROWS_A_SECOND
    if archives:
        seconds += rows * (counts.row_bytes or 0) / ARCHIVED_BYTES_A_SECOND
    rate = rows / seconds if seconds else float(ROWS_A_SECOND)
    return Duration(seconds, rate, "a rate measured on two cores, for lack of runs of this policy")

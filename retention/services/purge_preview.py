"""A policy, looked at before it destroys anything: also one that is not in force, or not saved.

All of it takes five seconds at most, however large the table: what cannot be counted by then is
estimated, and says so. Nothing is changed and nothing is kept of what was seen.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from operations.batches.choose import walk_choose
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table, TableName
from operations.conditions.describe import describe
from operations.conditions.structure import from_json
from operations.copies import remaining_copies
from operations.exceptions import Refused
from retention.exceptions import PreviewUnavailable
from retention.models import RetentionPolicy
from retention.selectors.bin_standing import BinStanding, bin_standing
from retention.selectors.deletions_due import DueDeletions, bin_graph
from retention.selectors.dependents import Graph, dependents_graph
from retention.selectors.due import AGE_TYPES, DueRows, age_column
from retention.selectors.preview_budget import Budget, TooSlow
from retention.selectors.preview_cases import cases_of
from retention.selectors.preview_cautions import cautions
from retention.selectors.preview_costs import duration, space
from retention.selectors.preview_counts import KEEP, count
from retention.selectors.preview_dependents import Dependent, dependents, quick_references, ways_to
from retention.selectors.preview_pass import Look
from retention.selectors.preview_result import Caution, Duration, PolicyPreview, Space
from retention.selectors.preview_rows import SampleRows, sample_rows
from retention.selectors.preview_tally import Counts
from retention.selectors.softdelete_graph import Enabled, entering_graph
from retention.services.bin_plan import bin_lines
from retention.services.partition_plan import partition_notes
from retention.services.purge_terms import disposition, refuse_unsafe
from retention.services.record_counts import record_counts

SECONDS = 5.0
BIN_SECONDS = 0.5
"""For each look at what keeps something in the bin."""
RECORD_SECONDS = 1.2
"""For what goes along with the due rows."""


def policy_preview(
    *, policy: RetentionPolicy, now: datetime | None = None, seconds: float = SECONDS
) -> PolicyPreview:
    """What a purge by these terms would do.

    Args:
        policy: in force or not, saved or not: only its terms are read.
        seconds: that all of it may take.

    Raises:
        NoSuchTable, PolicyRefused, ConditionRefused: the terms do not fit the database.
        PreviewUnavailable: somebody holds the table locked.
    """
    budget, now, using = Budget(seconds), now or timezone.now(), policy.database
    table = _table(policy.table, budget, using)
    cutoff = policy.cutoff(now)
    keep = from_json(policy.keep_condition) if policy.keep_condition else None
    enabled = Enabled(using=using)
    softly = policy.soft_delete and enabled.of(table) is not None
    graph = (
        entering_graph(table, enabled).graph
        if softly
        else dependents_graph(table=table, dependents=policy.dependents, using=using)
    )
    refusals = _refusals(policy, graph)
    notes = []
    standing = None
    if softly:
        standing = _bin(DueRows(table, policy.age_column, now, keep), now, budget, using)
        notes += bin_lines({"bin": standing.to_json()})
    if not policy.enabled:
        notes.append("The policy is not enabled: no purge takes its rows until it is.")
    seen = _Seen()
    if cutoff is not None and table.kind != "foreign":
        rows = DueRows(table, policy.age_column, cutoff, keep, active=softly)
        seen = _look(policy, rows, graph, now, budget)
    return PolicyPreview(
        policy=policy.name,
        version=policy.version if policy.pk is not None else None,
        table=str(table.name),
        term=policy.term,
        age_column=policy.age_column,
        keep_while=describe(keep) if keep else "",
        disposition=f"into the bin, then {disposition(policy)}" if softly else disposition(policy),
        at=now,
        cutoff=cutoff,
        table_bytes=table.estimated_bytes,
        counts=seen.counts,
        dependents=seen.dependents,
        samples=seen.samples,
        space=seen.space,
        duration=seen.duration,
        walk=seen.walk,
        remains=_remains(policy, table.name, now),
        cautions=seen.cautions,
        refusals=(*refusals, *seen.refusals),
        notes=(*notes, *seen.notes),
        bin=standing,
        took=budget.taken,
    )


def _bin(rows: DueRows, now: datetime, budget: Budget, using: str) -> BinStanding:
    which = DueDeletions(using, rows.table.oid, now)
    graph = bin_graph(rows.table, which, using=using)
    seconds = min(BIN_SECONDS, budget.left - KEEP)
    return bin_standing(graph, which, rows, using=using, seconds=seconds)


@dataclass(frozen=True)
class _Seen:
    """What a look at the rows came to."""

    counts: Counts | None = None
    dependents: tuple[Dependent, ...] = ()
    samples: SampleRows | None = None
    space: Space = field(default_factory=lambda: Space(None, None))
    duration: Duration | None = None
    walk: dict[str, Any] | None = None
    cautions: tuple[Caution, ...] = ()
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _table(name: TableName, budget: Budget, using: str) -> Table:
    try:
        with budget.limited(2, using=using):
            return read_table(name, using=using)
    except TooSlow as error:
        raise PreviewUnavailable(
            f"{name} is locked by somebody who changes it: look again in a moment."
        ) from error


def _refusals(policy: RetentionPolicy, graph: Graph) -> list[str]:
    """As a purge would be refused if the policy were enabled."""
    enabled = copy(policy)
    enabled.enabled = True
    try:
        refuse_unsafe(enabled, graph)
    except Refused as error:
        return list(dict.fromkeys([str(error), *graph.refusals]))
    return []


def _look(
    policy: RetentionPolicy, rows: DueRows, graph: Graph, now: datetime, budget: Budget
) -> _Seen:
    using = policy.database
    column = age_column(rows)
    # Where only active rows refer, `record_counts` looks for them.
    keeping = tuple(e.key for e in graph.into(0) if not e.goes_along and not e.active)
    look = Look(rows, cases_of(rows.table, using=using), now, keeping)
    ways = tuple(ways_to(graph, using=using))
    counts = count(look, budget, using=using, quick_references=quick_references(ways))
    look = replace(look, references=counts.get("referenced") is not None)
    counts, notes = _with_records(graph, rows, counts, budget, using=using)
    due = counts["due"]
    walk = None
    refusals = [
        f"{rows.table.name} is held as a whole by {case.by}." for case in look.cases if case.whole
    ]
    try:
        walk = walk_choose(
            rows.table,
            age_column=column.name if column.base_type in AGE_TYPES else "",
            share=due.value / counts.total.value if counts.total.value else None,
            using=using,
        ).to_json()
    except Refused as error:
        refusals.append(str(error))
    return _Seen(
        counts=counts,
        cautions=tuple(cautions(look, counts, budget, using=using)),
        samples=sample_rows(look, budget, using=using),
        dependents=dependents(look, graph, ways, budget, using=using),
        space=space(
            counts, rows.table, policy=policy.name, archives=policy.archive_first, using=using
        ),
        duration=duration(counts, policy=policy.name, archives=policy.archive_first),
        walk=walk,
        refusals=tuple(refusals),
        notes=(*notes, *partition_notes(rows, using=using)),
    )


def _with_records(
    graph: Graph, rows: DueRows, counts: Counts, budget: Budget, *, using: str
) -> tuple[Counts, tuple[str, ...]]:
    """A due row stays when something that would go along with it does: found out as a purge does.

    Where not every record could be looked at, that is told in words.
    """
    due, seconds = counts["due"], min(RECORD_SECONDS, budget.left - KEEP)
    if not graph.along or graph.refusals or not due.value:
        return counts, ()
    untold = (
        "A due row stays as well when something that would go along with it is held, or referred "
        "to from elsewhere. There was no time to find out how many do."
    )
    if seconds <= 0:
        return counts, (untold,)
    try:
        found = record_counts(graph, rows, due=due.value, using=using, seconds=seconds)
    except Refused:
        # A table is held as a whole.
        return counts, (untold,)
    if not found.estimated and not due.estimated:
        return counts.with_bound(found.kept), ()
    if None in found.rows:
        return counts, (untold,)
    few = f"about {found.kept:,} of the due rows stay" if found.kept else "no due row stays"
    note = (
        f"As far as some records tell, {few} because something that would go along is held, or "
        "referred to from elsewhere."
    )
    return counts, (note,)


def _remains(policy: RetentionPolicy, table: TableName, now: datetime) -> tuple[str, ...]:
    told = remaining_copies(table, using=policy.database)
    if not policy.archive_first:
        return tuple(told)
    if policy.archive_days is None:
        return ("The archive holds the rows for ever.", *told)
    until = timezone.localtime(now + timedelta(days=policy.archive_days))
    return (f"The archive holds the rows until {until:%Y-%m-%d}.", *told)

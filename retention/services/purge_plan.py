"""What a purge would do, looked at before anything is done."""

from __future__ import annotations

from datetime import datetime

from operations.batches.choose import walk_choose
from operations.catalogue.read import table as read_table
from operations.conditions.describe import describe
from operations.conditions.structure import from_json
from operations.runs.kinds import Plan
from operations.selectors.runs import recent_maximum
from retention.models import RetentionPolicy
from retention.selectors.dependents import dependents_graph
from retention.selectors.due import (
    AGE_TYPES,
    DueRows,
    age_column,
)
from retention.selectors.hold_honoured import held_by
from retention.services.bin_plan import bin_plan
from retention.services.layout import fingerprint_of
from retention.services.partition_plan import partition_plan
from retention.services.purge_counts import due_counts
from retention.services.purge_terms import disposition, refuse_unsafe, surge
from retention.services.record_counts import counts_facts, record_counts


def purge_plan(*, policy: RetentionPolicy, now: datetime, using: str) -> Plan:
    """Counts what is due and decides how to walk. Changes nothing.

    Raises:
        PurgeRefused: the policy must not or cannot be carried out; its text says why.
        Vetoed: the whole table is protected.
    """
    table = read_table(policy.table, using=using)
    if policy.soft_delete:
        return bin_plan(policy=policy, table=table, now=now, using=using)
    graph = dependents_graph(table=table, dependents=policy.dependents, using=using)
    refuse_unsafe(policy, graph)
    cutoff = policy.cutoff(now)
    assert cutoff is not None
    keep = from_json(policy.keep_condition) if policy.keep_condition else None
    rows = DueRows(table, policy.age_column, cutoff, keep)
    column = age_column(rows)
    keeping = [each.key for each in graph.into(0) if not each.inside]
    counts, pages = due_counts(rows, keeping, using=using)
    along = record_counts(graph, rows, due=counts["due"], using=using)
    counts["due"] -= 0 if along.estimated else along.kept
    counts["estimated"] = counts["estimated"] or along.estimated
    total = sum(number or 0 for number in along.rows)
    share = counts["due"] / table.estimated_rows if table.estimated_rows > 0 else None
    walk = walk_choose(
        table,
        age_column=column.name if column.base_type in AGE_TYPES else "",
        share=share,
        using=using,
    )
    partitions = partition_plan(rows, using=using)
    facts = {
        "policy": policy.name,
        "policy_version": policy.version,
        "table": str(table.name),
        "cutoff": cutoff.isoformat(),
        "age_column": column.name,
        "keep_while": describe(keep) if keep else "",
        "disposition": disposition(policy),
        "walk": walk.to_json(),
        **counts,
        **counts_facts(graph, along),
        "held_by": held_by(rows, using=using),
        **partitions.facts,
    }
    most = recent_maximum(kind="purge", subject=policy.name)
    parameters = {
        "policy": policy.pk,
        "policy_name": policy.name,
        "policy_version": policy.version,
        "most_unapproved": None if most is None else 2 * most,
        "table": [policy.schema_name, policy.table_name],
        "age_column": policy.age_column,
        "cutoff": cutoff.isoformat(),
        "keep_condition": policy.keep_condition,
        "archive": policy.archive_first,
        "archive_days": policy.archive_days,
        "walk": walk.to_json(),
        "pages": pages if walk.by == "ctid" and table.kind == "table" else None,
        "dependents": policy.dependents,
        "fingerprint": fingerprint_of([each.name for each in graph.tables], using=using),
        **partitions.parameters,
    }
    return Plan(
        subject=policy.name,
        facts=facts,
        total=total,
        parameters=parameters,
        approval_reason=surge(most, total),
    )

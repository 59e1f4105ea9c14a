"""What a policy with soft deletion would do, and what it takes to destroy one deletion now."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from operations.batches.choose import walk_choose
from operations.catalogue.types import Table
from operations.conditions.describe import describe
from operations.conditions.structure import from_json
from operations.runs.kinds import Plan
from operations.selectors.runs import recent_maximum
from retention.models import RetentionPolicy
from retention.selectors.bin_standing import BinStanding, bin_standing
from retention.selectors.deletions_due import DueDeletions, bin_graph
from retention.selectors.dependents import Graph
from retention.selectors.due import AGE_TYPES, DueRows, age_column
from retention.selectors.hold_honoured import held_by, held_in_bin
from retention.selectors.softdelete_graph import Enabled, entering_graph
from retention.services.layout import fingerprint_of
from retention.services.purge_counts import due_counts
from retention.services.purge_terms import disposition, refuse_unsafe, surge
from retention.services.record_counts import counts_facts, record_counts


def bin_plan(*, policy: RetentionPolicy, table: Table, now: datetime, using: str) -> Plan:
    """Counts what is to go into the bin, and what of it is to be destroyed. Changes nothing.

    Raises:
        PurgeRefused: the policy must not or cannot be carried out; its text says why.
        Vetoed: the whole table is protected.
    """
    which = DueDeletions(using, table.oid, now)
    graph = bin_graph(table, which, using=using)
    refuse_unsafe(policy, graph)
    cutoff = policy.cutoff(now)
    keep = from_json(policy.keep_condition) if policy.keep_condition else None
    rows = DueRows(table, policy.age_column, cutoff or now, keep, active=True)
    entering = _entering(rows, using) if cutoff is not None else _Entering()
    standing = bin_standing(graph, which, rows, using=using)
    held = held_in_bin(graph.tables, which, using=using)
    total = entering.rows + standing.going
    most = recent_maximum(kind="purge", subject=policy.name)
    facts = {
        "policy": policy.name,
        "policy_version": policy.version,
        "table": str(table.name),
        "cutoff": rows.cutoff.isoformat(),
        "age_column": policy.age_column,
        "keep_while": describe(keep) if keep else "",
        "disposition": f"into the bin, then {disposition(policy)}",
        "walk": entering.walk,
        **entering.facts,
        "due": total,
        "estimated": entering.estimated or standing.waiting != (),
        "into_bin": entering.rows,
        "bin": standing.to_json(),
        "held_by": [*entering.held, *held],
    }
    parameters = {
        **_parameters(graph, which, using=using),
        "policy": policy.pk,
        "policy_name": policy.name,
        "policy_version": policy.version,
        "most_unapproved": None if most is None else 2 * most,
        "age_column": policy.age_column,
        "cutoff": rows.cutoff.isoformat(),
        "keep_condition": policy.keep_condition,
        "archive": policy.archive_first,
        "archive_days": policy.archive_days,
        "walk": entering.walk,
        "pages": entering.pages,
    }
    return Plan(
        subject=policy.name,
        facts=facts,
        total=total,
        parameters=parameters,
        approval_reason=surge(most, total),
    )


def deletion_plan(
    *, graph: Graph, which: DueDeletions, standing: BinStanding, subject: str, using: str
) -> Plan:
    """For one deletion that somebody wants destroyed before its grace is over.

    It is archived first if a policy in force for the table where it began says so.
    """
    table = graph.root
    policy = (
        RetentionPolicy.objects.filter(
            database=using,
            schema_name=table.name.schema,
            table_name=table.name.name,
            enabled=True,
            archive_first=True,
        )
        .order_by("id")
        .first()
    )
    facts: dict[str, Any] = {
        "deletion": which.deletion,
        "policy": policy.name if policy else "",
        "table": str(table.name),
        "disposition": disposition(policy) if policy else "destroyed",
        "due": standing.rows,
        "estimated": False,
        "bin": standing.to_json(),
        "held_by": [],
    }
    parameters = {
        **_parameters(graph, which, using=using),
        "deletion": which.deletion,
        "policy": policy.pk if policy else None,
        "policy_name": policy.name if policy else f"deletion-{which.deletion}",
        "policy_version": policy.version if policy else None,
        "most_unapproved": None,
        "age_column": "",
        "cutoff": which.before.isoformat(),
        "keep_condition": None,
        "archive": policy is not None,
        "archive_days": policy.archive_days if policy else None,
        "walk": None,
        "pages": None,
    }
    return Plan(
        subject=subject,
        facts=facts,
        total=standing.rows,
        parameters=parameters,
        approval_reason=(
            "What is in the bin can still be restored: another person has to approve that it is "
            "destroyed now."
        ),
    )


def bin_lines(plan: dict[str, Any]) -> list[str]:
    """What a plan says of the bin, as lines for whoever decides at a terminal."""
    found = plan.get("bin")
    if found is None:
        return []
    lines = []
    if "into_bin" in plan:
        lines.append(f"into the bin: {_rows(plan['into_bin'])}")
    stays = f"{found['going']:,} of " if found["going"] < found["rows"] else ""
    rows = f"{stays}{_rows(found['rows'])}"
    lines.append(f"destroyed from the bin: {rows} of {_deletions(found['deletions'])}")
    if found["waiting"] is None:
        lines.append("how many of these wait was not counted: it takes too long")
    lines += [
        f"waits: deletion {each['deletion']}: {each['why']}" for each in found["waiting_because"]
    ]
    if found["waiting"] and found["waiting"] > len(found["waiting_because"]):
        lines.append(f"waits: {found['waiting']:,} deletions in all")
    if found["in_grace"]:
        lines.append(
            f"still in its grace: {_rows(found['in_grace_rows'])} of "
            f"{_deletions(found['in_grace'])}; the next one ends {found['next_end'][:16]}"
        )
    return lines


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _deletions(count: int) -> str:
    return "1 deletion" if count == 1 else f"{count:,} deletions"


def _parameters(graph: Graph, which: DueDeletions, *, using: str) -> dict[str, Any]:
    names = [table.name for table in graph.tables]
    return {
        "bin": which.to_json(),
        "table": [names[0].schema, names[0].name],
        "dependents": [[name.schema, name.name] for name in names[1:]],
        "fingerprint": fingerprint_of(names, using=using),
    }


@dataclass(frozen=True)
class _Entering:
    """What is due, and not in the bin yet."""

    facts: dict[str, Any] = field(default_factory=dict)
    rows: int = 0
    """Of all tables, as far as known."""
    estimated: bool = False
    walk: dict[str, Any] | None = None
    pages: list[int] | None = None
    held: tuple[dict[str, Any], ...] = ()


def _entering(rows: DueRows, using: str) -> _Entering:
    table = rows.table
    graph = entering_graph(table, Enabled(using=using)).graph
    # Only active rows keep what they refer to, and `record_counts` looks at those.
    counts, pages = due_counts(rows, [], using=using)
    along = record_counts(graph, rows, due=counts["due"], using=using)
    counts["due"] -= 0 if along.estimated else along.kept
    column = age_column(rows)
    walk = walk_choose(
        table,
        age_column=column.name if column.base_type in AGE_TYPES else "",
        share=counts["due"] / table.estimated_rows if table.estimated_rows > 0 else None,
        using=using,
    )
    return _Entering(
        facts={**counts, **counts_facts(graph, along), "roots_into_bin": counts["due"]},
        rows=sum(number or 0 for number in along.rows),
        estimated=counts["estimated"] or along.estimated,
        walk=walk.to_json(),
        pages=pages if walk.by == "ctid" and table.kind == "table" else None,
        held=tuple(held_by(rows, using=using)),
    )

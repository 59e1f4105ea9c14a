"""What the terms of a policy mean for a purge: whether it may go, and what becomes of the rows."""

from __future__ import annotations

from retention.exceptions import PurgeRefused
from retention.models import RetentionPolicy
from retention.selectors.dependents import Graph
from retention.selectors.softdelete_graph import Enabled


def refuse_unsafe(policy: RetentionPolicy, graph: Graph) -> None:
    """Raises PurgeRefused for what could destroy more, or less, than the policy says."""
    if policy.soft_delete and Enabled(using=policy.database).of(graph.root) is None:
        raise PurgeRefused(
            f"Policy {policy.name} deletes softly first, and {graph.root.name} does not have soft "
            f"delete: manage.py softdelete_enable {graph.root.name}"
        )
    if policy.keeps_for_ever and not policy.soft_delete:
        raise PurgeRefused(f"Policy {policy.name} keeps its rows for ever: nothing is ever due.")
    if not policy.enabled:
        raise PurgeRefused(f"Policy {policy.name} is not enabled.")
    for refusal in graph.refusals:
        raise PurgeRefused(refusal)


def disposition(policy: RetentionPolicy) -> str:
    """What becomes of rows in the end: `destroyed`, `archived for 90 days`."""
    if not policy.archive_first:
        return "destroyed"
    if policy.archive_days is None:
        return "archived"
    return f"archived for {policy.archive_days:,} days"


def surge(most: int | None, total: int) -> str:
    """Why a run waits for approval; empty when it need not.

    Args:
        most: rows that one of the last runs removed at most.
    """
    if most is None or total <= 2 * most:
        return ""
    return (
        f"{total:,} rows are due, more than twice the {most:,} that a recent run of this policy "
        "removed at most: another person has to approve it."
    )

"""Tables that no policy speaks of, and policies that no longer fit the tables they speak of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from shlex import quote
from typing import Literal

from operations.catalogue.read import table as read_table
from operations.catalogue.read import tables
from operations.catalogue.types import Table, TableName
from operations.exceptions import CustodyError
from retention.models import RetentionPolicy
from retention.selectors.dependents import dependents_graph
from retention.selectors.policies import policy_waiting
from retention.selectors.softdelete_graph import Enabled, entering_graph
from retention.services.policy_terms import PolicyTerms
from retention.services.policy_terms_check import terms_problems

Kind = Literal["no_policy", "not_in_force", "drifted", "refused"]


@dataclass(frozen=True)
class Finding:
    kind: Kind
    """no_policy: of a table. Of a policy: not_in_force, drifted (its terms no longer fit the
    schema), refused (its purge would be, as the schema is)."""
    table: str
    policy: str
    """Empty for no_policy."""
    what: str
    remedy: str


def policy_check(*, using: str = "default") -> list[Finding]:
    """Everything that is wrong between the policies and the tables of users.

    A partition is covered by the table that it is a partition of. A policy that keeps rows for ever
    is one. The console's own tables are left out, and so are foreign ones: their rows are
    elsewhere.
    """
    found = {table.name: table for table in tables(using=using)}
    policies = list(RetentionPolicy.objects.filter(database=using))
    return [*_uncovered(found.values(), policies), *_unfitting(found, policies, using)]


def _uncovered(found: Iterable[Table], policies: list[RetentionPolicy]) -> Iterator[Finding]:
    covering = {policy.table: policy for policy in policies if not policy.enabled}
    covering |= {policy.table: policy for policy in policies if policy.enabled}
    for table in found:
        if table.partition_of is not None or table.kind == "foreign":
            continue
        if table.leaves and all(leaf in covering for leaf in table.leaves):
            continue
        policy = covering.get(table.name)
        if policy is None:
            yield Finding(
                "no_policy",
                str(table.name),
                "",
                "No policy says how long its rows are kept.",
                "Make one (manage.py policy_import FILE); retentionDays: -1 keeps them for ever.",
            )
        elif not policy.enabled:
            yield _not_in_force(policy)


def _not_in_force(policy: RetentionPolicy) -> Finding:
    run = policy_waiting(policy)
    remedy = (
        f"Another person has to approve it: manage.py run_approve {run.pk} --user NAME"
        if run is not None and run.decision == ""
        else f"Bring it into force: manage.py policy_enable {quote(policy.name)}"
    )
    return Finding(
        "not_in_force",
        str(policy.table),
        policy.name,
        "Its policy is not in force, so its rows are never removed.",
        remedy,
    )


def _unfitting(
    found: dict[TableName, Table], policies: list[RetentionPolicy], using: str
) -> Iterator[Finding]:
    def read(name: TableName) -> Table:
        # The console's own tables can have policies as well.
        return found[name] if name in found else read_table(name, using=using)

    for policy in policies:
        yield from policy_findings(policy, read=read)


def policy_findings(
    policy: RetentionPolicy, *, read: Callable[[TableName], Table] | None = None
) -> Iterator[Finding]:
    """What is wrong between one policy and its tables: `drifted` and `refused`.

    Args:
        read: how to look a table up, for who has read many at once.
    """
    # What is out of force harms nothing, and its table may be gone for good.
    if not policy.enabled:
        return
    table, name, using = str(policy.table), policy.name, policy.database
    read = read or (lambda wanted: read_table(wanted, using=using))
    try:
        problems = list(terms_problems(PolicyTerms.of(policy), using=using, read=read))
    except CustodyError as error:
        yield Finding("drifted", table, name, str(error), f"Propose terms anew for {name}.")
        return
    for problem in problems:
        yield Finding("drifted", table, name, problem.what, problem.remedy)
    if not problems and policy.destroys:
        yield from _refused(policy, read(policy.table), using)


def _refused(policy: RetentionPolicy, table: Table, using: str) -> Iterator[Finding]:
    enabled = Enabled(using=using)
    if policy.soft_delete and enabled.of(table) is None:
        yield Finding(
            "refused",
            str(table.name),
            policy.name,
            f"Rows are to be deleted softly first, and {table.name} does not have soft delete.",
            f"Enable it: manage.py softdelete_enable {quote(str(table.name))}",
        )
        return
    graph = (
        entering_graph(table, enabled).graph
        if policy.soft_delete
        else dependents_graph(table=table, dependents=policy.dependents, using=using)
    )
    remedy = f"Mend it, then look: manage.py purge_run {quote(policy.name)} --dry-run"
    for refusal in graph.refusals:
        yield Finding("refused", str(table.name), policy.name, refusal, remedy)

"""Policies from the entries of a file: all of them are taken, or none."""

from __future__ import annotations

from django.contrib.auth.models import User

from operations.catalogue.read import table_name_resolve
from operations.catalogue.types import TableName
from operations.exceptions import CustodyError
from retention.exceptions import PolicyBusy, PolicyRefused
from retention.models import RetentionPolicy
from retention.selectors.policies import policy_waiting
from retention.services.policy_change import (
    PolicyAnswer,
    Proposal,
    policies_store,
    policy_prepare,
)
from retention.services.policy_file import Entry, entry_check, entry_terms
from retention.services.policy_terms import PolicyTerms


def policy_import(
    *,
    entries: list[Entry],
    actor: User,
    reason: str = "",
    dry_run: bool = False,
    using: str = "default",
) -> list[PolicyAnswer]:
    """Proposes the terms of the entries: see `policy_propose` for what becomes of each.

    Raises:
        PolicyRefused: naming the entry and what is wrong with it.
        PolicyBusy: somebody else changed a policy a moment ago.
    """
    proposals = policy_import_prepare(entries=entries, dry_run=dry_run, using=using)
    if dry_run:
        return [proposal.answer() for proposal in proposals]
    return policies_store(proposals=proposals, actor=actor, reason=reason)


def policy_import_prepare(
    *, entries: list[Entry], dry_run: bool = False, using: str = "default"
) -> list[Proposal]:
    """Looks at all entries, and changes nothing: see `policy_prepare`. Raises PolicyRefused."""
    prepared: dict[str, Proposal] = {}
    for number, entry in enumerate(entries, start=1):
        try:
            proposal = _prepare(entry, prepared, dry_run, using)
        except PolicyBusy:
            raise
        except CustodyError as error:
            called = entry.get("name") or entry.get("table", "without a table")
            raise PolicyRefused(f"Policy {number} ({called}): {error}") from error
        prepared[proposal.terms.name] = proposal
    return list(prepared.values())


def _prepare(entry: Entry, earlier: dict[str, Proposal], dry_run: bool, using: str) -> Proposal:
    entry_check(entry)
    table = table_name_resolve(entry["table"], using=using)
    if not entry.get("name") and any(each.terms.table == table for each in earlier.values()):
        raise PolicyRefused(f"an earlier entry is for {table} already: give each its name.")
    policy = _policy(entry.get("name"), table, using)
    name = policy.name if policy is not None else entry.get("name") or _new_name(table, earlier)
    if name in earlier:
        raise PolicyRefused(f"an earlier entry is for policy {name} already.")
    terms = entry_terms(entry, name=name, base=_base(policy), using=using)
    return policy_prepare(terms=terms, policy=policy, dry_run=dry_run, using=using)


def _policy(name: str | None, table: TableName, using: str) -> RetentionPolicy | None:
    """The policy of this name; without a name, the only one of the table. None: there is none."""
    if name:
        return RetentionPolicy.objects.filter(name=name).first()
    found = list(
        RetentionPolicy.objects.filter(
            database=using, schema_name=table.schema, table_name=table.name
        )
    )
    if len(found) > 1:
        names = ", ".join(policy.name for policy in found)
        raise PolicyRefused(f"{table} has several policies ({names}): say which with name.")
    return found[0] if found else None


def _base(policy: RetentionPolicy | None) -> PolicyTerms | None:
    """What an entry leaves out stays as it was last said: by a proposal that waits, or in force."""
    if policy is None:
        return None
    waiting = policy_waiting(policy)
    return PolicyTerms.from_json(waiting.parameters["terms"]) if waiting else PolicyTerms.of(policy)


def _new_name(table: TableName, earlier: dict[str, Proposal]) -> str:
    """The table's name; with its schema when another policy has that name already."""
    name = table.name.strip()
    taken = name in earlier or RetentionPolicy.objects.filter(name=name).exists()
    return str(table) if taken else name

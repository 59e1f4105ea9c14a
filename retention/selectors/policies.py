"""Reads of policies, of the changes to them that wait, and of who approved what is in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from operations.catalogue.names import parse_table_name
from operations.models import Run
from operations.runs.states import OPEN
from operations.selectors.runs import run_open_for
from retention.exceptions import NoSuchPolicy
from retention.models import RetentionPolicy, SoftDeleteTable

RUNNABLE = Q(enabled=True) & (Q(keep_hours__isnull=False) | Q(soft_delete=True))
"""The policies that purges carry out."""
PURGES = ("purge", "deletion_purge")
"""The kinds of run that destroy rows of governed tables."""
POLICY_CHANGE = "policy_change"
"""The kind of run that holds a change until another person approves it."""


def policies_runnable() -> list[RetentionPolicy]:
    """The policies that can have something to do: enabled, with a term or a bin to empty."""
    bins = SoftDeleteTable.objects.filter(
        database=OuterRef("database"),
        schema_name=OuterRef("schema_name"),
        table_name=OuterRef("table_name"),
        disabled_at=None,
    )
    return list(
        # Without a bin a policy that keeps for ever has nothing to destroy.
        RetentionPolicy.objects.filter(RUNNABLE).filter(Q(keep_hours__isnull=False) | Exists(bins))
    )


def policies_named(names: Sequence[str]) -> list[RetentionPolicy]:
    """The named policies in the order asked for; without names, all that are runnable.

    Raises NoSuchPolicy.
    """
    if not names:
        return policies_runnable()
    return list({policy.pk: policy for policy in map(policy_get, names)}.values())


def policy_get(text: str) -> RetentionPolicy:
    """The policy of this name, else the only one for the table of this name.

    Raises NoSuchPolicy.
    """
    by_name = RetentionPolicy.objects.filter(name=text).first()
    if by_name is not None:
        return by_name
    schema, name = parse_table_name(text)
    by_table = RetentionPolicy.objects.filter(table_name=name)
    if schema is not None:
        by_table = by_table.filter(schema_name=schema)
    if len(by_table) == 1:
        return by_table[0]
    known = ", ".join(RetentionPolicy.objects.values_list("name", flat=True)) or "none"
    raise NoSuchPolicy(f"There is no policy {text!r}. There are: {known}.")


def policy_waiting(policy: RetentionPolicy) -> Run | None:
    """The change of the policy's terms that is not in force yet: it waits, or failed."""
    return run_open_for(kind=POLICY_CHANGE, subject=policy.name)


def policies_waiting() -> dict[str, int]:
    """The number of the run in which a change waits, by the policy's name."""
    open_runs = Run.objects.filter(kind=POLICY_CHANGE, state__in=OPEN)
    return dict(open_runs.order_by("id").values_list("subject", "id"))


@dataclass(frozen=True)
class PolicyApproval:
    """Who let the terms of a version come into force."""

    approved_by: str
    approved_at: datetime
    proposed_by: str
    run: int
    version: int
    """The version that the approval brought. Later ones destroy no more than it does."""

    def __str__(self) -> str:
        at = timezone.localtime(self.approved_at)
        return f"{self.approved_by} at {at:%Y-%m-%d %H:%M}, version {self.version}, run {self.run}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "approved_at": self.approved_at.isoformat()}


def policy_approval(policy: RetentionPolicy, version: int | None = None) -> PolicyApproval | None:
    """The approval that the policy's version stands on; None where nobody had to approve.

    Args:
        version: the one in force where it is left out.
    """
    run = (
        Run.objects.filter(
            kind=POLICY_CHANGE,
            subject=policy.name,
            decision="approved",
            # Written in the transaction that changed the policy, so there is no moment between.
            cursor__version__lte=policy.version if version is None else version,
        )
        .select_related("requester", "decided_by")
        .order_by("-cursor__version")
        .first()
    )
    if run is None or run.decided_at is None:
        return None
    return PolicyApproval(
        approved_by=str(run.decided_by),
        approved_at=run.decided_at,
        proposed_by=str(run.requester),
        run=run.pk,
        version=run.cursor["version"],
    )


def approval_facts(policy: RetentionPolicy, version: int) -> dict[str, Any]:
    """`policy_approval` as a certificate states it; empty where nobody had to approve."""
    found = policy_approval(policy, version)
    if found is None:
        return {}
    return {
        "terms_proposed_by": found.proposed_by,
        "terms_approved_by": found.approved_by,
        "terms_approved_at": found.approved_at.isoformat(),
        "terms_approved_in_run": found.run,
    }

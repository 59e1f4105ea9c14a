"""A policy for `app.events`, proposed by one person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib.auth.models import User

from operations.catalogue.types import TableName
from operations.models import Run
from retention.models import RetentionPolicy
from retention.services.policy_change import PolicyAnswer, policy_propose
from retention.services.policy_terms import PolicyTerms
from tests.approving import in_force

TERMS = PolicyTerms(
    name="events",
    table=TableName("app", "events"),
    age_column="created_at",
    keep_hours=24 * 365,
    archive_first=True,
    archive_days=365,
    legal_basis="Article 5",
    owner="Security",
)


def agreed(person: User, **terms: Any) -> RetentionPolicy:
    """A policy that was proposed by `person` and approved by somebody else: version 2."""
    (policy,) = in_force([propose(person, **terms)])
    return policy


def propose(
    person: User, policy: RetentionPolicy | None = None, *, reason: str = "", **terms: Any
) -> PolicyAnswer:
    """TERMS, or those in force, but for `terms`."""
    if policy is not None:
        policy.refresh_from_db()
    base = PolicyTerms.of(policy) if policy is not None else TERMS
    return policy_propose(terms=replace(base, **terms), policy=policy, actor=person, reason=reason)


def waiting(answer: PolicyAnswer) -> Run:
    assert answer.run is not None
    run = Run.objects.get(pk=answer.run.pk)
    assert run.state == "awaiting_approval"
    return run


def stored(policy: RetentionPolicy) -> tuple[PolicyTerms, int]:
    """The terms in force, and their version, as the database has them."""
    policy.refresh_from_db()
    return PolicyTerms.of(policy), policy.version

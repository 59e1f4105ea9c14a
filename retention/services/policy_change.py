"""Proposing terms of a policy: in force at once, or when another person has approved them.

Invariant: RetentionPolicy holds the terms in force, and only terms that destroy no more than those,
or that somebody other than the proposer approved, ever get there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from operations.models import Run
from operations.runs.kinds import Plan
from operations.runs.states import ENDED, OWNED
from operations.services.run_approve import run_left_approved
from operations.services.run_execute import run_execute
from operations.services.runs import run_cancel, run_create, run_lock
from retention.exceptions import PolicyBusy, PolicyRefused
from retention.models import RetentionPolicy
from retention.selectors.policies import POLICY_CHANGE, policy_waiting
from retention.services.policy_change_run import PolicyChange, policy_save
from retention.services.policy_difference import Difference, policy_difference
from retention.services.policy_risks import policy_risks
from retention.services.policy_terms import PolicyTerms
from retention.services.policy_terms_check import terms_check

Change = Literal["created", "changed", "unchanged", "waiting"]


@dataclass(frozen=True)
class PolicyAnswer:
    """What became of a proposal."""

    policy: RetentionPolicy
    """With the terms in force. A new one whose terms need approval is stored, and disabled."""
    change: Change
    """waiting: nothing is different until another person approves the run."""
    terms: PolicyTerms
    """What was proposed."""
    difference: tuple[Difference, ...] = ()
    why: tuple[str, ...] = ()
    """Why another person has to approve; empty when nobody has to."""
    run: Run | None = None
    """That waits for approval. None in a dry run, which makes none."""
    cautions: tuple[str, ...] = ()
    """What is so unusual that approving asks twice."""
    superseded: Run | None = None
    """The earlier proposal that this one took the place of."""
    still_waits: Run | None = None
    """An earlier proposal that this one left alone, because it said what is in force anyway."""


@dataclass(frozen=True)
class Proposal:
    """Everything looked at, and nothing changed yet."""

    policy: RetentionPolicy | None
    terms: PolicyTerms
    why: tuple[str, ...]
    plan: Plan | None
    """Of the run that will wait; None where nobody has to approve."""
    waiting: Run | None
    """An earlier proposal that is not in force."""
    using: str

    @property
    def old(self) -> PolicyTerms | None:
        return PolicyTerms.of(self.policy) if self.policy is not None else None

    @property
    def same_waits(self) -> bool:
        """The very same was proposed before and is still to be decided."""
        return (
            self.waiting is not None
            and self.policy is not None
            and self.waiting.decision == ""
            and self.waiting.parameters["base_version"] == self.policy.version
            and PolicyTerms.from_json(self.waiting.parameters["terms"]) == self.terms
        )

    @property
    def change(self) -> Change:
        if self.policy is None:
            return "created"
        if self.terms == self.old:
            return "unchanged"
        return "waiting" if self.why else "changed"

    @property
    def at_first(self) -> PolicyTerms:
        """What of a new policy is in force before anybody approved it."""
        return replace(self.terms, enabled=False) if self.why else self.terms

    def answer(
        self, *, policy: RetentionPolicy | None = None, run: Run | None = None
    ) -> PolicyAnswer:
        """As it became; without `policy`, as it would become."""
        stored = policy or self.policy
        if stored is None:
            stored = RetentionPolicy(database=self.using, **self.at_first.to_json())
        waits = self.waiting if self.same_waits else run
        unchanged = self.change == "unchanged"
        planned = waits.plan if waits is not None else self.plan.facts if self.plan else {}
        return PolicyAnswer(
            policy=stored,
            change=self.change,
            terms=self.terms,
            difference=policy_difference(self.old, self.terms),
            why=self.why,
            run=waits,
            cautions=tuple(planned.get("cautions", ())),
            superseded=None if self.same_waits or unchanged else self.waiting,
            still_waits=self.waiting if unchanged else None,
        )


def policy_propose(
    *,
    terms: PolicyTerms,
    policy: RetentionPolicy | None = None,
    actor: User,
    reason: str = "",
    dry_run: bool = False,
    using: str = "default",
) -> PolicyAnswer:
    """Changes the policy, makes a new one, or leaves the change for another person to approve.

    The same proposal again returns the run that waits; another one takes its place. What is in
    force already changes nothing, and withdraws nothing.

    Args:
        policy: the one to change; None makes a new one.
        dry_run: says what would become of it, and changes nothing.

    Raises:
        PolicyRefused: the terms cannot be meant on the tables as they are.
        PolicyBusy: somebody else changed the policy a moment ago.
    """
    proposal = policy_prepare(terms=terms, policy=policy, dry_run=dry_run, using=using)
    if dry_run:
        return proposal.answer()
    return policies_store(proposals=[proposal], actor=actor, reason=reason)[0]


def policy_prepare(
    *,
    terms: PolicyTerms,
    policy: RetentionPolicy | None = None,
    dry_run: bool = False,
    using: str = "default",
) -> Proposal:
    """Checks the terms and looks what they would destroy: seconds, and no lock is held for them.

    Raises what `policy_propose` raises.
    """
    if policy is not None:
        using = policy.database
        if not dry_run:
            _carry_out_approved(policy)
        policy = RetentionPolicy.objects.get(pk=policy.pk)
    old = PolicyTerms.of(policy) if policy is not None else None
    _check(terms, old, using)
    waiting = policy_waiting(policy) if policy is not None else None
    why = policy_risks(old, terms)
    proposal = Proposal(policy, terms, why, None, waiting, using)
    if not why or proposal.same_waits:
        return proposal
    parameters = {
        "policy_name": terms.name,
        "base_version": policy.version if policy is not None else 1,
        "old": (old or proposal.at_first).to_json(),
        "terms": terms.to_json(),
    }
    return replace(proposal, plan=PolicyChange.plan(parameters=parameters, using=using))


def policies_store(
    *, proposals: list[Proposal], actor: User, reason: str = ""
) -> list[PolicyAnswer]:
    """Does what was prepared, all of it or nothing. Raises PolicyBusy."""
    with transaction.atomic():
        return [_store(proposal, actor, reason) for proposal in proposals]


def _store(proposal: Proposal, actor: User, reason: str) -> PolicyAnswer:
    if proposal.same_waits or proposal.change == "unchanged":
        return proposal.answer()
    # The run before the policy, as whoever carries out an approval locks them.
    if proposal.waiting is not None:
        _supersede(proposal.waiting, actor, reason)
    policy = _locked(proposal)
    if proposal.policy is None:
        _save(policy, proposal.at_first, actor, reason)
    elif not proposal.why:
        _save(policy, proposal.terms, actor, reason)
    run = None
    if proposal.plan is not None:
        run = run_create(
            kind=POLICY_CHANGE,
            parameters=proposal.plan.parameters,
            requester=actor,
            reason=reason,
            using=proposal.using,
            plan=proposal.plan,
        )
    return proposal.answer(policy=policy, run=run)


def _carry_out_approved(policy: RetentionPolicy) -> None:
    """Who approved the last change was perhaps killed before it was in force."""
    run = policy_waiting(policy)
    if run is not None and run_left_approved(run):
        run_execute(run_id=run.pk)


def _check(terms: PolicyTerms, old: PolicyTerms | None, using: str) -> None:
    if old is None and RetentionPolicy.objects.filter(name=terms.name).exists():
        raise PolicyRefused(f"There is a policy {terms.name!r} already: change that one.")
    if old is not None and terms.name != old.name:
        raise PolicyRefused(
            f"Policy {old.name!r} keeps its name: its runs, archives and certificates are found "
            "by it."
        )
    only_disabled = old is not None and terms == replace(old, enabled=False)
    if not only_disabled:
        # A policy that no longer fits its table can always be taken out of force.
        terms_check(terms, using=using)


def _supersede(waiting: Run, actor: User, reason: str) -> None:
    run = run_lock(waiting.pk)
    if run.current in ENDED or run.current in OWNED or run.decision != waiting.decision:
        raise PolicyBusy(f"{run} was decided a moment ago: look at the policy, then propose again.")
    because = f" {reason}" if reason else ""
    run_cancel(run_id=run.pk, actor=actor, reason=f"Another proposal takes its place.{because}")


def _locked(proposal: Proposal) -> RetentionPolicy:
    if proposal.policy is None:
        return RetentionPolicy(database=proposal.using)
    policy = RetentionPolicy.objects.select_for_update().get(pk=proposal.policy.pk)
    if policy.version != proposal.policy.version:
        raise PolicyBusy(
            f"Policy {policy.name} was changed a moment ago: look at it, then propose again."
        )
    return policy


def _save(policy: RetentionPolicy, terms: PolicyTerms, actor: User, reason: str) -> None:
    try:
        with transaction.atomic():
            policy_save(policy, terms, actor=actor, reason=reason)
    except IntegrityError as error:
        raise PolicyBusy(f"A policy {terms.name!r} was made a moment ago.") from error

"""A change of terms that waits for another person: a run of one short step.

While it waits the old terms are in force. What was approved is what comes into force: the run binds
the new terms, the version they were made from, and what they were said to destroy.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db import DataError, ProgrammingError
from django.utils import timezone

from operations.exceptions import CustodyError
from operations.models import Run
from operations.runs.kinds import Outcome, Plan, PlanOutdated, RunKind, Step, register
from retention.models import RetentionPolicy
from retention.preview_presenting import facts_told, preview_facts
from retention.selectors.policies import POLICY_CHANGE
from retention.services.policy_difference import policy_difference
from retention.services.policy_risks import policy_risks
from retention.services.policy_terms import PolicyTerms
from retention.services.policy_terms_check import terms_check
from retention.services.purge_preview import policy_preview


@register
class PolicyChange(RunKind):
    name: ClassVar[str] = POLICY_CHANGE
    title: ClassVar[str] = "Change of terms"
    unit: ClassVar[str] = "change"
    immediate: ClassVar[bool] = True

    @classmethod
    def plan(cls, *, parameters: dict[str, Any], using: str) -> Plan:
        """`parameters`: `policy_name`, `base_version`, and `old` and `terms` as JSON."""
        old = PolicyTerms.from_json(parameters["old"])
        new = PolicyTerms.from_json(parameters["terms"])
        why = policy_risks(old, new)
        preview = change_preview(new, using=using)
        cautions = preview.pop("cautions")
        return Plan(
            subject=old.name,
            facts={
                "policy": old.name,
                "policy_version": parameters["base_version"],
                "looked_at": timezone.now().isoformat(timespec="seconds"),
                "table": str(new.table),
                "why": list(why),
                "difference": [
                    {"what": each.what, "old": each.old, "new": each.new}
                    for each in policy_difference(old, new)
                ],
                "preview": preview,
                "cautions": cautions,
                "old": parameters["old"],
                "new": parameters["terms"],
            },
            total=1,
            parameters=parameters,
            approval_reason=" ".join(why),
        )

    @classmethod
    def confirm_text(cls, plan: dict[str, Any]) -> str:
        """The table's name, when its rows would all go or the ages are not what they seem."""
        return str(plan["table"]) if plan["cautions"] else ""

    @classmethod
    def plan_lines(cls, plan: dict[str, Any]) -> list[str]:
        return [
            *[f"{each['what']}: {each['old']} -> {each['new']}" for each in plan["difference"]],
            f"What a purge by the new terms would have done at {plan['looked_at']}:",
            *[
                f"{what}: {how}" + (f" ({meaning})" if meaning else "")
                for what, how, meaning in facts_told(plan["preview"])
            ],
            *[f"CAUTION: {caution}" for caution in plan["cautions"]],
        ]

    def step(self, run: Run) -> Step:
        """The new terms, as the policy's next version."""
        if "version" in run.cursor:
            # They came into force, and the worker was killed before it could say so.
            return Step(cursor=run.cursor, done=0, finished=True)
        policy = (
            RetentionPolicy.objects.select_for_update()
            .filter(name=self.parameters["policy_name"])
            .first()
        )
        if policy is None or policy.version != self.parameters["base_version"]:
            raise PlanOutdated(
                f"Policy {self.parameters['policy_name']} has changed since this was proposed: "
                "propose it again."
            )
        terms = PolicyTerms.from_json(self.parameters["terms"])
        try:
            terms_check(terms, using=self.using)
        except CustodyError as error:
            raise PlanOutdated(f"{error} Then propose it again.") from error
        because = f"Approved by {run.decided_by} (run {run.pk})."
        policy_save(policy, terms, actor=run.requester, reason=f"{because} {run.reason}".strip())
        return Step(cursor={"version": policy.version}, done=1, finished=True)

    def finish(self, run: Run, outcome: Outcome) -> dict[str, Any]:
        if outcome == "cancelled":
            return {}
        return {
            "policy": self.parameters["policy_name"],
            "version": run.cursor["version"],
            "approved_by": str(run.decided_by),
        }


def policy_save(policy: RetentionPolicy, terms: PolicyTerms, *, actor: User, reason: str) -> None:
    """Brings terms into force: a new policy as version 1, another as its next version.

    The caller has locked the policy, and has an approval where the terms want one.
    """
    if policy.pk is not None:
        policy.version += 1
    for name, value in terms.to_json().items():
        setattr(policy, name, value)
    policy._history_user = actor  # type: ignore[attr-defined]
    policy._change_reason = reason  # type: ignore[attr-defined]
    policy.save()


def change_preview(terms: PolicyTerms, *, using: str) -> dict[str, Any]:
    """What a purge by the terms would do now, and which of it is asked twice."""
    policy = RetentionPolicy(database=using, **terms.to_json())
    try:
        return preview_facts(policy_preview(policy=policy))
    except (CustodyError, ProgrammingError, DataError) as error:
        return {"refusals": [" ".join(str(error).split())], "cautions": []}

"""A change of a policy that waits: what it says, who may withdraw it, and how the run shows it."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe

from operations.admin.confirm import ConfirmView
from operations.admin.run_presenting import RunPresenter
from operations.admin.show import Fact, badge, link, number, when_text
from operations.models import Run
from operations.runs.states import RunState
from operations.services.runs import run_cancel
from retention.admin.policy_diff import changes_proposed
from retention.admin.policy_edit import PROPOSE
from retention.admin.policy_words import sentence
from retention.models import RetentionPolicy
from retention.preview_presenting import facts_told
from retention.selectors.policies import policy_waiting
from retention.services.policy_terms import PolicyTerms


def may_withdraw(run: Run, user: User | AnonymousUser) -> bool:
    """Whoever asked for it, as long as nobody has decided."""
    waits = run.current is RunState.AWAITING_APPROVAL
    return waits and run.requester_id == user.pk and user.has_perm(PROPOSE)


class PolicyWithdrawView(ConfirmView):
    """Who proposed a change takes it back."""

    button = "Withdraw"
    variant = "danger"
    title = "Withdraw a proposal"
    consequence = (
        "Nobody is asked to approve it any more. The terms in force stay as they are; "
        "you can propose it again."
    )

    def has_permission(self) -> bool:
        return bool(self.request.user.has_perm(PROPOSE))

    def find(self) -> RetentionPolicy | None:
        return RetentionPolicy.objects.filter(pk=self.kwargs["pk"]).first()

    def not_now(self) -> str:
        policy: RetentionPolicy = self.object
        self.run = policy_waiting(policy)
        if self.run is None or self.run.current is not RunState.AWAITING_APPROVAL:
            return f"No change of {policy} waits for approval."
        if not may_withdraw(self.run, self.person):
            return (
                f"{self.run.requester} proposed it. You can refuse it on the page of the run, "
                "or propose something else in its place."
            )
        return ""

    def act(self, reason: str) -> str:
        assert self.run is not None
        run = run_cancel(run_id=self.run.pk, actor=self.person, reason=f"Withdrawn. {reason}")
        self.model_admin.log_change(self.request, self.object, f"Withdrawn: {run}. {reason}")
        return f"{run} is withdrawn."

    def back(self) -> str:
        return reverse("admin:retention_retentionpolicy_change", args=[self.kwargs["pk"]])

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        assert self.run is not None
        return super().get_context_data(
            **kwargs,
            question="Withdraw this proposal?",
            facts_title="What was proposed",
            facts=[Fact(change.label, change.shown) for change in changes_proposed(self.run)],
            hidden={},
        )


class PolicyChangePresenter(RunPresenter):
    """The run that holds a change until another person has approved it."""

    def subject(self, run: Run) -> str | SafeString:
        policy = RetentionPolicy.objects.filter(name=run.subject).values_list("pk").first()
        if policy is None:
            return run.subject
        return link(run.subject, "retention_retentionpolicy_change", *policy)

    def plan(self, run: Run) -> list[Fact]:
        said = PolicyTerms.from_json(run.plan["new"]).to_json()
        return [
            Fact("It would say", sentence(RetentionPolicy(**said))),
            *[Fact(change.label, change.shown) for change in changes_proposed(run)],
            Fact("Made from", f"version {run.plan.get('policy_version')}"),
            Fact("Looked at", when_text(run.plan["looked_at"])),
            *_facts(facts_told(run.plan["preview"])),
        ]

    def warnings(self, run: Run) -> list[str]:
        return list(run.plan["cautions"])

    def details(self, run: Run) -> SafeString:
        """What the terms would do now, while somebody has to decide."""
        if run.current is not RunState.AWAITING_APPROVAL:
            return SafeString("")
        url = reverse("admin:retention_retentionpolicy_preview_run", args=[run.pk])
        return render_to_string("retention/preview_slot.html", {"preview_url": url})

    def outcome(self, run: Run) -> list[Fact]:
        if not run.result:
            return []
        return [
            Fact("In force", badge(f"Version {number(run.result.get('version'))}", "success")),
            Fact("Approved by", str(run.result.get("approved_by", ""))),
        ]


def _facts(told: list[tuple[str, str, str]]) -> list[Fact]:
    """A line each; what is called and means the same stands together."""
    found = []
    for (label, hint), alike in groupby(told, key=lambda each: (each[0], each[2])):
        values = format_html_join(mark_safe("<br>"), "{}", ((value,) for _, value, _ in alike))
        found.append(Fact(label, values, hint))
    return found

"""A purge by one policy now: what it would do, confirmed with a reason, then on its way."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db import DataError, ProgrammingError
from django.urls import reverse

from operations.admin.confirm import ConfirmView
from operations.dispatch import wake
from operations.models import Run
from operations.runs.states import RunState
from operations.selectors.runs import run_open_for
from retention.admin.policy_edit import PROPOSE
from retention.admin.purges import plan_facts
from retention.models import RetentionPolicy
from retention.services.purge_preview import policy_preview
from retention.services.purge_start import purge_preview, purge_request


def may_run(user: User | AnonymousUser) -> bool:
    """Who controls runs, and who proposes terms: what was approved goes every night anyway."""
    return user.has_perm("operations.control_run") or user.has_perm(PROPOSE)


class PurgeNowView(ConfirmView):
    button = "Run now"

    run: Run | None = None

    def has_permission(self) -> bool:
        return self.model_admin.has_view_permission(self.request) and may_run(self.request.user)

    def find(self) -> RetentionPolicy | None:
        return RetentionPolicy.objects.filter(pk=self.kwargs["pk"]).first()

    def not_now(self) -> str:
        policy: RetentionPolicy = self.object
        self.open_run = run_open_for(kind="purge", subject=policy.name)
        try:
            # Asked again when they confirm: the rows may be others by then.
            self.cautions = policy_preview(policy=policy).cautions
        except (ProgrammingError, DataError) as error:
            return f"{policy} does not fit its table: {' '.join(str(error).split())}"
        # Counting may take seconds, and a run that is asked for is planned anew anyway.
        if self.request.method != "POST" or not self.get_form().is_valid():
            self.preview = purge_preview(policy=policy)
        return ""

    def typed(self) -> str:
        return str(self.object.table) if self.cautions else ""

    def act(self, reason: str) -> str:
        policy: RetentionPolicy = self.object
        self.run = purge_request(policy=policy, requester=self.person, reason=reason)
        self.model_admin.log_change(self.request, policy, f"{self.run}. Reason: {reason}")
        if self.run.current is RunState.QUEUED:
            wake(self.run.pk)
        if self.run.current is RunState.AWAITING_APPROVAL:
            return f"{self.run} waits for another person's approval."
        return f"{self.run}: {self.run.current.label.lower()}."

    def back(self) -> str:
        if self.run is not None:
            return reverse("admin:operations_run_change", args=[self.run.pk])
        return reverse("admin:retention_retentionpolicy_change", args=[self.kwargs["pk"]])

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        policy: RetentionPolicy = self.object
        self.title = f"Purge by {policy.name} now"
        self.consequence = self._consequence()
        return super().get_context_data(
            **kwargs,
            question=f"Purge by {policy.name} now?",
            facts_title="What it would do",
            facts=plan_facts(self.preview.facts),
            why=self.preview.approval_reason,
            warnings=[caution.text for caution in self.cautions],
            hidden={},
        )

    def _consequence(self) -> str:
        if self.open_run is not None:
            state = self.open_run.current
            resumed = state in (RunState.PAUSED, RunState.FAILED)
            return f"There is a run already: {self.open_run} is {state.label.lower()}. " + (
                "It is resumed, by the plan it was made with."
                if resumed
                else "You are taken to it; no second one is made."
            )
        if self.preview.approval_reason:
            return "A run is made. Another person has to approve it before anything is removed."
        return (
            "A run is made and queued. It works in short batches and can be paused and cancelled "
            "at any time; what it has removed by then stays removed."
        )

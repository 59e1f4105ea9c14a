"""Destroying one deletion before its grace is over: asked for here, approved by another person."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.safestring import SafeString

from operations.admin.confirm import ConfirmView
from operations.admin.run_presenting import RunPresenter
from operations.admin.show import Fact
from operations.dispatch import wake
from operations.models import Run
from operations.runs.states import RunState
from operations.selectors.runs import run_open_for
from retention.admin.bin_facts import bin_plan_facts
from retention.admin.deletion_words import (
    PURGE,
    deletion_url,
    may_see_values,
    records_words,
    title_of,
)
from retention.admin.purges import PurgePresenter
from retention.models import Deletion
from retention.selectors.deletion_roots import deletion_roots
from retention.services.deletion_purge import (
    DELETION_PURGE,
    deletion_purge_preview,
    deletion_purge_request,
    deletion_subject,
)


class DeletionPurgeView(ConfirmView):
    button = "Ask to destroy it"
    variant = "danger"
    run: Run | None = None

    def has_permission(self) -> bool:
        return bool(
            self.model_admin.has_view_permission(self.request) and self.request.user.has_perm(PURGE)
        )

    def find(self) -> Deletion | None:
        found = Deletion.objects.select_related("split_from", "run").prefetch_related("tables")
        return found.filter(pk=self.kwargs["pk"]).first()

    def not_now(self) -> str:
        deletion: Deletion = self.object
        self.open_run = run_open_for(kind=DELETION_PURGE, subject=deletion_subject(deletion))
        # Looked at each time: a hold may have come by the time they confirm.
        self.plan = deletion_purge_preview(deletion_id=deletion.pk, using=deletion.database)
        return ""

    def act(self, reason: str) -> str:
        deletion: Deletion = self.object
        self.run = deletion_purge_request(
            deletion_id=deletion.pk, actor=self.person, reason=reason, using=deletion.database
        )
        said = f"Destruction asked for: {self.run}. Reason: {reason}"
        self.model_admin.log_change(self.request, deletion, said)
        if self.run.current is RunState.QUEUED:
            wake(self.run.pk)
        if self.run.current is RunState.AWAITING_APPROVAL:
            return f"{self.run} waits for another person's approval."
        return f"{self.run}: {self.run.current.label.lower()}."

    def back(self) -> str:
        if self.run is not None:
            return reverse("admin:operations_run_change", args=[self.run.pk])
        return deletion_url(self.kwargs["pk"])

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        deletion: Deletion = self.object
        roots = deletion_roots([deletion]).get(deletion.pk, [])
        name = title_of(deletion, roots, masks=not may_see_values(self.request.user))
        self.title = f"Destroy {name}"
        self.consequence = self._consequence()
        context = super().get_context_data(
            **kwargs,
            question=f"Destroy {name} for ever?",
            facts_title="What would be destroyed",
            facts=[
                Fact("Deletion", str(deletion).capitalize(), f"of {deletion.table}"),
                *bin_plan_facts(self.plan.facts),
                *(
                    Fact(str(each.table), records_words(each.rows))
                    for each in deletion.tables.all()
                    if each.rows
                ),
            ],
            hidden={},
        )
        return {**context, "original": str(deletion).capitalize()}

    def _consequence(self) -> str:
        if self.open_run is not None:
            state = self.open_run.current.label.lower()
            return f"There is a run already: {self.open_run} is {state}. You are taken to it."
        return (
            "A run is made, and nothing is destroyed before another person has approved it. Until "
            "then all of it can be restored. Afterwards nothing brings it back but an archive or a "
            "backup."
        )


class DeletionPurgePresenter(PurgePresenter):
    """The run leads back to the deletion."""

    about = ("deletion", "retention_deletion_change")

    def details(self, run: Run) -> SafeString:
        """Nothing of the policy by which it is archived: that is about other rows."""
        return RunPresenter.details(self, run)

"""Redacting a value of a record: columns, then what would go, then a reason; another approves."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from auditing.admin.proof_runs import redact_facts
from auditing.admin.record import REDACT
from auditing.admin.record_confirm import RecordConfirmView
from auditing.models import TrackedTable
from auditing.selectors.images import Shape, shape_of
from auditing.selectors.tracked import tracked_get
from auditing.services.audit_redact import redact_request
from auditing.services.redact_plan import Wanted, redact_plan
from operations.models import Run
from operations.runs.kinds import Plan
from operations.runs.states import RunState


class RecordRedactView(RecordConfirmView):
    """`?column=NAME`, once for each; without one it asks which. Nothing happens before the reason
    is posted, and then only with another person's approval."""

    permission = REDACT
    template_name = "auditing/redact.html"
    button = "Ask for it"
    variant = "danger"
    consequence = (
        "Another person has to approve it. Then the values are destroyed for ever, in the history "
        "and in its archives: nobody can bring them back. That they were there, and that you asked "
        "for this, stays in the log, which still verifies."
    )
    run: Run | None = None
    plan: Plan | None = None

    def not_now(self) -> str:
        tracked: TrackedTable = self.object
        if tracked_get(str(tracked)).pk != tracked.pk:
            return f"There is a newer audit of {tracked}: redact from the record's page of that."
        self.shape: Shape = shape_of(tracked)
        self.chosen = tuple(dict.fromkeys(self.request.GET.getlist("column")))
        if self.chosen:
            # Asked again when they confirm: the versions may be others by then.
            self.plan = redact_plan(self.wanted(), using="default")
            if not self.plan.total and not self.plan.facts["elsewhere"]:
                return f"No version of {tracked} {self.record_id} has a value there any more."
        elif self.request.method == "POST":
            return "Choose the columns first."
        return ""

    def wanted(self) -> Wanted:
        return Wanted(table=str(self.object), columns=self.chosen, keys=(self.record_id,))

    def act(self, reason: str) -> str:
        self.run = redact_request(wanted=self.wanted(), requester=self.person, reason=reason)
        if self.run is None:
            return "No version has a value there any more."
        said = (
            f"Run {self.run.pk}: redaction of {', '.join(self.chosen)} asked for. Reason: {reason}"
        )
        self.model_admin.log_change(self.request, self.object, said)
        if self.run.current is RunState.AWAITING_APPROVAL:
            return f"Run {self.run.pk} waits for another person's approval."
        return f"Run {self.run.pk}: {self.run.current.label.lower()}."

    def back(self) -> str:
        if self.run is not None:
            return reverse("admin:operations_run_change", args=[self.run.pk])
        return super().back()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.title = f"Redact values of {self.object} {self.record_id}"
        context = super().get_context_data(
            **kwargs,
            question="Redact these values?" if self.plan else "Redact which values?",
            facts_title="What would go",
            facts=redact_facts(self.plan.facts) if self.plan else [],
            warnings=self.plan.facts["cautions"] if self.plan else [],
            asks=self.plan is None,
            columns=self.columns(),
            hidden={},
        )
        return {**context, "original": f"{self.object} {self.record_id}"}

    def columns(self) -> list[dict[str, str]]:
        """Those that can be redacted: no key, nothing masked or computed when it is read."""
        return [
            {"name": each.name, "type": each.type}
            for each in self.shape.captured
            if each.key_position is None and not each.masked and each.generated != "virtual"
        ]

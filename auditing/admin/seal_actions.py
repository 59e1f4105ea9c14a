"""Sealing now, and having the log verified."""

from __future__ import annotations

from typing import Any

from django import forms
from django.urls import reverse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from auditing.admin.log_form import MomentInput
from auditing.admin.seal_words import state_facts
from auditing.models import SealBlock, TrackedTable
from auditing.services.audit_seal import audit_seal
from auditing.services.audit_verify import audit_verify_start
from auditing.services.seal_state import seal_state
from operations.admin.confirm import ConfirmView, ReasonForm
from operations.dispatch import wake
from operations.models import Run

SEAL = "auditing.seal_now"
VERIFY = "auditing.verify_log"


class SealsView(ConfirmView):
    """About the log as a whole. `run` is what it led to, where the person goes then."""

    template_name = "auditing/seals_confirm.html"
    permission = ""
    run: Run | None = None

    def has_permission(self) -> bool:
        return bool(
            self.model_admin.has_view_permission(self.request)
            and self.request.user.has_perm(self.permission)
        )

    def find(self) -> Any:
        return "The audit log"

    def back(self) -> str:
        if self.run is not None:
            return reverse("admin:operations_run_change", args=[self.run.pk])
        return reverse("admin:auditing_sealblock_changelist")

    def get_form(self, form_class: type[forms.Form] | None = None) -> forms.Form:
        form = super().get_form(form_class)
        # Why comes last, as on every page that asks.
        form.fields["reason"] = form.fields.pop("reason")
        return form

    def form_valid(self, form: forms.Form) -> Any:
        self.given: dict[str, Any] = form.cleaned_data
        return super().form_valid(form)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.title = self.button
        kwargs.setdefault("facts_title", "As it is now")
        kwargs.setdefault("facts", state_facts(seal_state()))
        return super().get_context_data(**kwargs, hidden={})


class SealNowView(SealsView):
    permission = SEAL
    button = "Seal now"
    consequence = (
        "Everything that has committed is hashed, chained, signed and anchored now, as beat does "
        "every half minute. A seal is never taken back."
    )

    def act(self, reason: str) -> str:
        done = audit_seal()
        if not done.blocks:
            return f"Everything was sealed already; the last is block {done.last:,}."
        rows = f"{done.leaves:,} row{'' if done.leaves == 1 else 's'}"
        told = f"{rows} sealed in {done.blocks:,} block{'' if done.blocks == 1 else 's'}"
        last = SealBlock.objects.defer("header").get(pk=done.last)
        self.model_admin.log_change(self.request, last, f"{told}. Reason: {reason}")
        return f"{told}; the last is block {done.last:,}."

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, question="Seal the audit log now?")


class VerifyForm(ReasonForm):
    table = forms.ChoiceField(
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="All of it proves most; one table is quicker.",
    )
    since = forms.DateTimeField(
        label="Sealed since",
        required=False,
        widget=MomentInput,
        help_text="Empty: from the first block on.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = sorted({str(each) for each in TrackedTable.objects.all()})
        field = self.fields["table"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "The whole log"), *((name, name) for name in names)]
        self.fields["reason"].required = False
        self.fields["reason"].widget = UnfoldAdminTextInputWidget()


class VerifyView(SealsView):
    permission = VERIFY
    form_class = VerifyForm
    button = "Verify"
    consequence = (
        "A run compares every row with what was sealed of it, the blocks with their signatures and "
        "anchors, and live rows with their last versions. It changes nothing, and nobody waits for "
        "it."
    )

    def act(self, reason: str) -> str:
        self.run = audit_verify_start(
            requester=self.person,
            reason=reason,
            since=self.given["since"],
            table=self.given["table"] or None,
        )
        wake(self.run.pk)
        return f"Run {self.run.pk} verifies {self.run.subject}."

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, question="Verify the audit log?")

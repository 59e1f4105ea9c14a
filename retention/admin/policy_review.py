"""Before terms are proposed: what differs, what they would do now, who has to agree and why."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.generic import FormView

from operations.acting import acting_say
from operations.admin.confirm import typed_field
from operations.exceptions import CustodyError
from retention.admin.policy_diff import changes
from retention.admin.policy_drafts import Draft, draft_find, draft_forget
from retention.admin.policy_edit import ProposingView
from retention.admin.policy_words import sentence
from retention.exceptions import PolicyBusy
from retention.models import RetentionPolicy
from retention.services.policy_change import PolicyAnswer, policy_propose


class ReviewForm(forms.Form):
    """Nothing to fill in, but the table's name where the terms are more dangerous than most."""

    def __init__(self, *args: Any, typed: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if typed:
            self.fields["confirm"] = typed_field(typed)


class PolicyReviewView(ProposingView, FormView):
    template_name = "retention/policy_review.html"
    form_class = ReviewForm
    title = "Review"
    draft: Draft
    policy: RetentionPolicy | None
    answer: PolicyAnswer

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.has_permission():
            raise PermissionDenied
        draft = draft_find(request, kwargs["token"])
        if draft is None:
            messages.error(request, "This proposal was sent or given up: begin it again.")
            return HttpResponseRedirect(reverse("admin:retention_retentionpolicy_changelist"))
        self.draft = draft
        # It was asked for on the page before.
        acting_say(reason=draft.reason)
        try:
            self.policy = draft.current()
            self._guard_version()
            self.answer = policy_propose(
                terms=draft.terms,
                policy=self.policy,
                actor=self._person(),
                reason=draft.reason,
                dry_run=True,
            )
        except (CustodyError, RetentionPolicy.DoesNotExist) as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(self.form_address())
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response

    def _guard_version(self) -> None:
        if self.policy is not None and self.policy.version != self.draft.version:
            raise PolicyBusy(
                f"Policy {self.policy} was changed while you wrote: look at what is in force now, "
                "then review again."
            )

    def _person(self) -> Any:
        return self.request.user

    def get_form_kwargs(self) -> dict[str, Any]:
        typed = str(self.draft.terms.table) if self.answer.cautions else ""
        return {**super().get_form_kwargs(), "typed": typed}

    def form_valid(self, form: forms.Form) -> HttpResponse:
        try:
            answer = policy_propose(
                terms=self.draft.terms,
                policy=self.policy,
                actor=self._person(),
                reason=self.draft.reason,
            )
        except CustodyError as error:
            messages.error(self.request, str(error))
            return HttpResponseRedirect(self.form_address())
        draft_forget(self.request, self.kwargs["token"])
        policy = answer.policy
        told = _told(answer)
        self.model_admin.log_change(self.request, policy, f"{told} Reason: {self.draft.reason}")
        messages.success(self.request, told)
        address = reverse("admin:retention_retentionpolicy_change", args=[policy.pk])
        return HttpResponseRedirect(address)

    def form_address(self) -> str:
        """Back to the form, as it was left."""
        if self.draft.policy is None:
            address = reverse("admin:retention_retentionpolicy_add")
        else:
            address = reverse("admin:retention_retentionpolicy_propose", args=[self.draft.policy])
        return f"{address}?draft={self.kwargs['token']}"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        terms, answer = self.draft.terms, self.answer
        needs_approval = bool(answer.why)
        return super().get_context_data(
            **kwargs,
            opts=self.model_admin.opts,
            original=self.policy,
            terms=terms,
            answer=answer,
            old_sentence=sentence(self.policy) if self.policy else "",
            sentence=sentence(RetentionPolicy(**terms.to_json())),
            changes=changes(answer.difference),
            reason=self.draft.reason,
            back=self.form_address(),
            button="Ask for approval" if needs_approval else "Put in force",
            preview_url=reverse(
                "admin:retention_retentionpolicy_preview_draft", args=[self.kwargs["token"]]
            ),
            proposed=RetentionPolicy(database=answer.policy.database, **terms.to_json()),
        )


def _told(answer: PolicyAnswer) -> str:
    """What became of the proposal, for the person who made it."""
    policy = answer.policy
    if answer.run is not None:
        made = f"Policy {policy} is made, and off. " if answer.change == "created" else ""
        return f"{made}The change waits for another person's approval: run {answer.run.pk}."
    return {
        "created": f"Policy {policy} is made and in force.",
        "changed": f"Policy {policy} is changed: version {policy.version} is in force.",
    }.get(answer.change, f"Policy {policy} says this already: nothing was changed.")

"""The versions of a policy: what each said and changed, two of them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.generic import TemplateView, View
from unfold.views import UnfoldModelAdminViewMixin
from unfold.widgets import UnfoldAdminSelectWidget

from operations.admin.show import when
from retention.admin.policy_diff import changes_between
from retention.admin.policy_drafts import Draft, draft_keep
from retention.admin.policy_edit import PROPOSE, ProposingView
from retention.admin.policy_words import facts, sentence
from retention.models import RetentionPolicy
from retention.selectors.policies import policy_approval
from retention.services.policy_terms import PolicyTerms


def add_differences(records: Sequence[Any]) -> None:
    """Gives each record, newest first, what it changed. The oldest begins with nothing."""
    for record, before in zip(records, [*records[1:], None], strict=True):
        record.differences = (
            changes_between(before.instance, record.instance) if before is not None else []
        )


def version_find(policy_id: str, version_id: str) -> Any:
    """The record in the history. Raises Http404."""
    if not (policy_id.isdecimal() and version_id.isdecimal()):
        raise Http404
    return get_object_or_404(
        RetentionPolicy.history.select_related("history_user"),
        id=int(policy_id),
        history_id=int(version_id),
    )


def version_words(record: Any) -> str:
    """`version 3, 25 Nov 2026, by officer`."""
    by = f", by {record.history_user}" if record.history_user else ""
    return f"version {record.version}, {record.history_date:%-d %b %Y %H:%M}{by}"


class CompareForm(forms.Form):
    old = forms.ChoiceField(label="From", widget=UnfoldAdminSelectWidget)
    new = forms.ChoiceField(label="To", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, records: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(str(record.pk), version_words(record).capitalize()) for record in records]
        for field in ("old", "new"):
            self.fields[field].choices = choices  # type: ignore[attr-defined]


class PolicyCompareView(UnfoldModelAdminViewMixin, TemplateView):
    """Two versions of a policy, chosen by those who look."""

    template_name = "retention/policy_compare.html"
    raise_exception = True
    title = "Compare versions"

    def has_permission(self) -> bool:
        return bool(self.model_admin.has_view_permission(self.request))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        policy = get_object_or_404(RetentionPolicy, pk=self.kwargs["pk"])
        records = list(policy.history.select_related("history_user"))
        if not records:
            raise Http404
        by_id = {str(record.pk): record for record in records}
        newest, before = records[0], records[min(1, len(records) - 1)]
        old = by_id.get(self.request.GET.get("old", ""), before)
        new = by_id.get(self.request.GET.get("new", ""), newest)
        return super().get_context_data(
            **kwargs,
            opts=self.model_admin.opts,
            original=policy,
            form=CompareForm(initial={"old": str(old.pk), "new": str(new.pk)}, records=records),
            old=version_words(old),
            new=version_words(new),
            changes=changes_between(old.instance, new.instance),
        )


def version_page(request: HttpRequest, record: Any) -> dict[str, Any]:
    """The context of `policy_version.html`: how the policy stood then."""
    policy: RetentionPolicy = record.instance
    return {
        "sentence": sentence(policy),
        "facts": facts(policy),
        "version": record,
        "changed": when(record.history_date),
        "approval": policy_approval(policy, record.version),
        "may_restore": request.user.has_perm(PROPOSE)
        and RetentionPolicy.objects.filter(pk=policy.pk).exclude(version=record.version).exists(),
    }


class PolicyRestoreView(ProposingView, View):
    """The terms of an older version as a draft, to be proposed like any others."""

    http_method_names = ("post", "options")

    def post(self, request: HttpRequest, pk: int, version: int) -> HttpResponse:
        policy = get_object_or_404(RetentionPolicy, pk=pk)
        record = version_find(str(pk), str(version))
        draft = Draft(
            # Its name stays, whatever it was called then.
            terms=replace(PolicyTerms.of(record.instance), name=policy.name),
            reason=f"Back to version {record.version}.",
            policy=policy.pk,
            version=policy.version,
        )
        token = draft_keep(request, draft)
        return HttpResponseRedirect(reverse("admin:retention_retentionpolicy_review", args=[token]))

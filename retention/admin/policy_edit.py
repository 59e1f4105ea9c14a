"""A new policy, or other terms for one: first the table, then the terms, then a look at it all."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.generic import FormView, TemplateView
from unfold.views import UnfoldModelAdminViewMixin

from operations.admin.condition_field import only_shaped
from operations.admin.table_choice import table_choice
from operations.admin.table_words import table_words
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table
from operations.exceptions import CustodyError
from retention.admin.policy_dependents import Dependent, dependents
from retention.admin.policy_drafts import Draft, draft_find, draft_keep
from retention.admin.policy_form import PolicyForm, initial, initial_new, text_of
from retention.models import RetentionPolicy
from retention.selectors.governable import Governable, governable
from retention.services.policy_terms import PolicyTerms

PROPOSE = "retention.propose_retentionpolicy"
ABOUT = ("name", "legal_basis", "owner", "enabled", "reason")
"""Fields of the form's last part."""


class ProposingView(UnfoldModelAdminViewMixin):
    """For who may propose terms, and nobody else."""

    raise_exception = True
    permission_required = PROPOSE


class PolicyTablesView(ProposingView, TemplateView):
    """Which table is it about?"""

    template_name = "retention/policy_tables.html"
    title = "Which table?"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            **kwargs,
            opts=self.model_admin.opts,
            pointed=self._pointed(),
            **table_choice(
                self.request,
                governable(),
                name=lambda each: each.table.name,
                line=_table_line,
            ),
        )

    def _pointed(self) -> RetentionPolicy | None:
        """The policy that another table is looked for."""
        number = self.request.GET.get("for", "")
        if not number.isdecimal():
            return None
        return RetentionPolicy.objects.filter(pk=int(number)).first()


class PolicyFormView(ProposingView, FormView):
    """The terms. Posted and right, they become a draft, which is shown before it is proposed."""

    form_class = PolicyForm
    template_name = "retention/policy_form.html"
    policy: RetentionPolicy | None = None
    draft: Draft | None = None
    table: Table
    around: list[Dependent]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.has_permission():
            raise PermissionDenied
        if "pk" in kwargs:
            self.policy = get_object_or_404(RetentionPolicy, pk=kwargs["pk"])
        self.draft = draft_find(request, request.GET.get("draft", ""))
        try:
            self.table = read_table(self._table())
        except CustodyError as error:
            messages.error(request, f"{error} Choose the table.")
            tables = reverse("admin:retention_retentionpolicy_add")
            return HttpResponseRedirect(f"{tables}?for={self.policy.pk}" if self.policy else tables)
        self.around = dependents(self.table)
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response

    def _table(self) -> Any:
        if self.request.GET.get("table"):
            return self.request.GET["table"]
        if self.draft is not None:
            return self.draft.terms.table
        return self.policy.table if self.policy is not None else ""

    @property
    def title(self) -> str:
        return f"Change {self.policy}" if self.policy else f"New policy for {self.table.name}"

    def get_initial(self) -> dict[str, Any]:
        if self.draft is not None:
            return {**initial(self.draft.terms, self.table), "reason": self.draft.reason}
        if self.policy is not None:
            return initial(PolicyTerms.of(self.policy), self.table)
        return initial_new(self.table)

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), **self._for_table()}

    def _for_table(self) -> dict[str, Any]:
        around = [each.table for each in self.around]
        return {"table": self.table, "policy": self.policy, "around": around}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if only_shaped(request.POST, "keep"):
            # A line more or less: the page again as it was typed, and nothing is judged yet.
            typed = as_typed(self.get_form(), request.POST)
            form = PolicyForm(initial=typed, **self._for_table())
            return self.render_to_response(self.get_context_data(form=form))
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: PolicyForm) -> HttpResponse:
        draft = Draft(
            terms=form.terms(),
            reason=form.cleaned_data["reason"],
            policy=self.policy.pk if self.policy else None,
            version=self.policy.version if self.policy else 0,
        )
        token = draft_keep(self.request, draft)
        return HttpResponseRedirect(reverse("admin:retention_retentionpolicy_review", args=[token]))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        form: PolicyForm = context["form"]
        chosen = set(form["dependents"].value() or [])
        values = [text_of(each.table) for each in self.around]
        back = (
            reverse("admin:retention_retentionpolicy_change", args=[self.policy.pk])
            if self.policy
            else reverse("admin:retention_retentionpolicy_changelist")
        )
        return {
            **context,
            "opts": self.model_admin.opts,
            "original": self.policy,
            "about_fields": [form[name] for name in ABOUT],
            "table": self.table,
            "table_facts": table_words(self.table),
            "around": [
                (each, value, value in chosen)
                for each, value in zip(self.around, values, strict=True)
            ],
            "back": back,
        }


def as_typed(form: forms.Form, data: QueryDict) -> dict[str, Any]:
    """What was posted, as the fields show it, right or wrong."""
    return {
        name: field.initial if field.disabled else field.widget.value_from_datadict(data, {}, name)
        for name, field in form.fields.items()
    }


def _table_line(each: Governable) -> dict[str, Any]:
    return {
        "name": str(each.table.name),
        "size": table_words(each.table),
        "policy": each.policy,
        "kind": each.table.kind if each.table.kind != "table" else "",
    }

"""Placing a hold in the admin: a table, what of it, a look at what that covers, and yes."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.http import urlencode
from django.views.generic import FormView
from unfold.views import UnfoldModelAdminViewMixin

from operations.admin.condition_field import ConditionWidget, only_shaped, said
from operations.admin.show import Fact, code
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table
from operations.exceptions import CustodyError
from retention.admin.hold_forms import KINDS, PlaceForm, TableForm, initial_of
from retention.models import LegalHold
from retention.services.hold_place import hold_place

PLACE = "retention.place_legalhold"


class _PlacingView(UnfoldModelAdminViewMixin, FormView):
    raise_exception = True

    def has_permission(self) -> bool:
        return bool(self.request.user.has_perm(PLACE))

    @cached_property
    def hold(self) -> LegalHold | None:
        """The hold that gets a further scope: `?case=...`."""
        case = self.request.GET.get("case", "")
        return LegalHold.objects.filter(case_id=case, released_at=None).first()

    @property
    def back(self) -> str:
        if self.hold is not None:
            return reverse("admin:retention_legalhold_change", args=[self.hold.pk])
        return reverse("admin:retention_legalhold_changelist")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.title = f"Add to the {self.hold}" if self.hold else "Place a legal hold"
        return super().get_context_data(
            **kwargs, opts=self.model_admin.opts, original=self.title, back=self.back
        )


class HoldTableView(_PlacingView):
    """Which table?"""

    form_class = TableForm
    template_name = "retention/hold_table.html"

    def form_valid(self, form: forms.Form) -> HttpResponse:
        given = {"table": form.cleaned_data["table"]}
        if self.hold is not None:
            given["case"] = self.hold.case_id
        address = reverse("admin:retention_legalhold_place")
        return HttpResponseRedirect(f"{address}?{urlencode(given)}")


class HoldPlaceView(_PlacingView):
    """What of the table; then what that covers; then it is placed."""

    form_class = PlaceForm
    template_name = "retention/hold_place.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not self.has_permission():
            raise PermissionDenied
        try:
            self.table: Table = read_table(request.GET.get("table", ""))
        except CustodyError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(reverse("admin:retention_legalhold_table"))
        return super().dispatch(request, *args, **kwargs)

    def get_form_kwargs(self) -> dict[str, Any]:
        kwargs: dict[str, Any] = super().get_form_kwargs()
        return {**kwargs, "table": self.table}

    def get_initial(self) -> dict[str, Any]:
        return initial_of(self.hold)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if only_shaped(request.POST, "condition"):
            # A line more or less: the same form again, and nothing is wrong with it yet.
            form = self.get_form()
            form.errors.clear()
            return self.render_to_response(self.get_context_data(form=form))
        answer: HttpResponse = super().post(request, *args, **kwargs)
        return answer

    def form_valid(self, form: PlaceForm) -> HttpResponse:
        if "confirmed" not in self.request.POST:
            self.template_name = "retention/hold_confirm.html"
            return self.render_to_response(self.get_context_data(form=form, **_shown(form)))
        given = form.cleaned_data
        assert isinstance(self.request.user, User)
        try:
            placed = hold_place(
                case_id=given["case_id"],
                reason=given["reason"],
                scopes=[form.asked],
                placed_by=self.request.user,
                review_on=given["review_on"],
            )
        except CustodyError as error:
            form.add_error(None, str(error))
            return self.form_invalid(form)
        message = f"Holds {_what(form)}. Reason: {given['reason']}"
        self.model_admin.log_change(self.request, placed.hold, message)
        said = "is extended" if placed.added else "is placed"
        messages.success(
            self.request, f"The {placed.hold} {said}. What it covers is safe from now on."
        )
        return HttpResponseRedirect(
            reverse("admin:retention_legalhold_change", args=[placed.hold.pk])
        )

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        key = self.table.key
        return {
            **context,
            "table": self.table,
            "kinds": KINDS.items(),
            "key": ", ".join(key.columns) if key else "",
            "several": key is not None and len(key.columns) > 1,
            "say": reverse("admin:retention_legalhold_say")
            + f"?{urlencode({'table': str(self.table.name)})}",
        }


class HoldSayView(UnfoldModelAdminViewMixin, FormView):
    """What the condition that somebody is writing says in SQL; changes nothing."""

    raise_exception = True
    title = "A condition in SQL"
    http_method_names = ("post",)

    def has_permission(self) -> bool:
        return bool(self.request.user.has_perm(PLACE))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> JsonResponse:
        try:
            table = read_table(request.GET.get("table", ""))
        except CustodyError as error:
            return JsonResponse({"said": {"sql": "", "problem": str(error)}, "problems": {}})
        given = ConditionWidget(table).value_from_datadict(request.POST, {}, "condition")
        sql, problem, problems = said(given, table)
        return JsonResponse(
            {
                "said": {"sql": sql or "nothing yet", "problem": problem},
                "problems": {f"{group}-{line}": why for (group, line), why in problems.items()},
            }
        )


def _what(form: PlaceForm) -> str:
    asked = form.covers.asked
    where = f" where {form.asked.where}" if form.asked.where else ""
    named = f": {len(asked.keys):,} keys" if asked.keys else ""
    return f"{KINDS[form.cleaned_data['kind']].lower()} of {asked.table.name}{where}{named}"


def _shown(form: PlaceForm) -> dict[str, Any]:
    """What the page that confirms shows."""
    covers = form.covers
    hint = "by PostgreSQL's statistics" if covers.rows.estimated else "counted now"
    facts = [
        Fact("Case", form.cleaned_data["case_id"]),
        Fact("Reason", form.cleaned_data["reason"]),
        Fact("Table", code(str(covers.asked.table.name))),
        Fact("What of it", KINDS[form.cleaned_data["kind"]]),
    ]
    if form.asked.where:
        hint += "; rows for which the condition is unknown are held too"
        facts.append(Fact("Condition", code(form.asked.where)))
    facts.append(Fact("Rows it covers now", str(covers.rows), hint))
    if covers.missing:
        facts.append(Fact("Keys without a row", f"{covers.missing:,}", "held all the same"))
    if form.cleaned_data["review_on"]:
        facts.append(Fact("Review on", f"{form.cleaned_data['review_on']:%-d %b %Y}"))
    return {"facts": facts, "again": form.again()}

"""A record by its table and key, whether it is still there or was deleted."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.generic import FormView
from unfold.views import UnfoldModelAdminViewMixin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from auditing.admin.own import is_own, may_see_rows
from auditing.admin.record_links import record_url
from auditing.models import TrackedTable
from auditing.selectors.versions import versions_of
from operations.exceptions import CustodyError


class KeyForm(forms.Form):
    table = forms.TypedChoiceField(coerce=int, widget=UnfoldAdminSelectWidget)
    key = forms.CharField(
        max_length=2_000,
        strip=False,
        widget=UnfoldAdminTextInputWidget({"autocomplete": "off", "spellcheck": "false"}),
        help_text="Its id. Of a key of several columns: a,b in the key's order, or a JSON array.",
    )

    def __init__(self, *args: Any, user: User | AnonymousUser, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["table"]
        assert isinstance(field, forms.ChoiceField)
        # Those of applications first.
        tables = sorted(TrackedTable.objects.all(), key=is_own)
        field.choices = [
            (str(each.pk), _words(each)) for each in tables if may_see_rows(user, each)
        ]


def _words(tracked: TrackedTable) -> str:
    if tracked.untracked_at is None:
        return str(tracked)
    return f"{tracked} (until {tracked.untracked_at:%-d %b %Y})"


class RecordByKeyView(UnfoldModelAdminViewMixin, FormView):
    """A table and a key; then the page of the record."""

    form_class = KeyForm
    template_name = "auditing/find_key.html"
    http_method_names = ("get", "head", "options")
    raise_exception = True
    title = "A record by its key"

    def has_permission(self) -> bool:
        return bool(self.model_admin.has_view_permission(self.request))

    def get_form_kwargs(self) -> dict[str, Any]:
        kwargs: dict[str, Any] = super().get_form_kwargs()
        kwargs["user"] = self.request.user
        if "key" in self.request.GET:
            # Nothing is changed by looking, and the address can be passed on.
            kwargs["data"] = self.request.GET
        return kwargs

    def get_initial(self) -> dict[str, Any]:
        return {"table": self.request.GET.get("table", "")}

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self.get_form()
        if form.is_bound and form.is_valid():
            tracked = TrackedTable.objects.get(pk=form.cleaned_data["table"])
            try:
                found = versions_of(tracked, form.cleaned_data["key"], limit=1)
            except CustodyError as error:
                form.add_error("key", str(error))
            else:
                if found.versions:
                    return HttpResponseRedirect(record_url(tracked, found.record_id))
                form.add_error("key", f"No version is kept of such a record of {tracked}.")
        return self.render_to_response(self.get_context_data(form=form))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, opts=self.model_admin.opts, original=self.title)

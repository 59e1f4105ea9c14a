"""Finding a record by whatever is known of it: one box, and all places where it is.

A search is posted, so that nobody's mail address stands in an address or its log; an address with
`?q=` is answered the same, for links that others make.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView
from unfold.views import UnfoldModelAdminViewMixin
from unfold.widgets import UnfoldAdminTextInputWidget

from auditing.admin.find_words import groups_of, missed_words, segments_of
from operations.asked import LONGEST
from operations.finding import Person, sources, standings
from operations.services.record_find import SECONDS, Found, record_find

LONGER = 20.0
"""Seconds, when somebody wants it looked for longer."""


class FindForm(forms.Form):
    q = forms.CharField(
        label="What is known of it",
        max_length=LONGEST,
        required=False,
        widget=UnfoldAdminTextInputWidget(
            {
                "type": "search",
                "autocomplete": "off",
                "spellcheck": "false",
                "autofocus": "autofocus",
                "placeholder": "a mail address, a name, a telephone, a number, a day, an id",
            }
        ),
    )

    def __init__(self, *args: Any, user: Person, **kwargs: Any) -> None:
        """`only`: where the record stands; empty: wherever."""
        super().__init__(*args, **kwargs)
        choices = [(each.kind, each.short) for each in standings(user)]
        self.fields["only"] = forms.ChoiceField(required=False, choices=choices)


class RecordFindView(UnfoldModelAdminViewMixin, FormView):
    form_class = FindForm
    template_name = "auditing/find.html"
    http_method_names = ("get", "head", "post", "options")
    raise_exception = True
    title = "Find a record"

    def has_permission(self) -> bool:
        return bool(self.model_admin.has_view_permission(self.request))

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        answer = sensitive_post_parameters("q")(super().dispatch)(request, *args, **kwargs)
        # An address with what was looked for is told to no other site.
        answer["Referrer-Policy"] = "same-origin"
        return answer

    def get_form_kwargs(self) -> dict[str, Any]:
        kwargs: dict[str, Any] = super().get_form_kwargs() | {"user": self.request.user}
        if self.request.method != "POST" and "q" in self.request.GET:
            kwargs["data"] = self.request.GET
        return kwargs

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if "key" in request.GET:
            # As it was written before: a table and a key.
            asked = {name: request.GET[name] for name in ("table", "key") if name in request.GET}
            by_key = reverse("admin:auditing_trackedtable_find_key")
            return HttpResponseRedirect(f"{by_key}?{urlencode(asked)}")
        return self._answer(self.get_form())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._answer(self.get_form())

    def _answer(self, form: forms.Form) -> HttpResponse:
        given = form.cleaned_data if form.is_bound and form.is_valid() else {}
        text = given.get("q", "").strip()
        context: dict[str, Any] = {"form": form, "asked": text}
        if text:
            longer = "longer" in (self.request.POST or self.request.GET)
            found = record_find(
                text,
                only=given["only"],
                seconds=LONGER if longer else SECONDS,
                user=self.request.user,
            )
            for source in sources():
                if self.request.user.is_authenticated:
                    source.shown(found.hits, self.request.user)
            context |= self._shown(found, longer=longer)
        return self.render_to_response(self.get_context_data(**context))

    def _shown(self, found: Found, *, longer: bool) -> dict[str, Any]:
        return {
            "found": found,
            "groups": groups_of(found, self.request.user),
            "segments": segments_of(found, self.request.user),
            "missed": missed_words(found),
            "where": f" {found.shares[0].standing.told}" if found.only and found.shares else "",
            "more": [str(name) for name in found.more],
            "took": f"{found.seconds:.1f}",
            "may_look_longer": not longer
            and any(each.why == "there was no time" for each in found.missed),
        }

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, opts=self.model_admin.opts, original=self.title)

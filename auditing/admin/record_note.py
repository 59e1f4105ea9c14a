"""Naming a version, and saying something of it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from auditing.admin.record import ANNOTATE, RecordView
from auditing.admin.record_links import record_url
from auditing.admin.record_words import did, value_lines, version_name
from auditing.admin.words import who
from auditing.selectors.versions import Version
from auditing.services.version_annotate import LONGEST_NAME, version_annotate
from operations.admin.show import Fact, when


class NoteForm(forms.Form):
    name = forms.CharField(
        required=False,
        max_length=LONGEST_NAME,
        widget=UnfoldAdminTextInputWidget,
        help_text="As one would call it: as signed, before the move.",
    )
    comment = forms.CharField(
        required=False,
        max_length=2_000,
        widget=UnfoldAdminTextareaWidget({"rows": 4}),
        help_text="For whoever looks at it later. The version itself never changes.",
    )


class RecordNoteView(RecordView):
    template_name = "auditing/note.html"

    def has_permission(self) -> bool:
        return super().has_permission() and self.request.user.has_perm(ANNOTATE)

    def version(self) -> Version:
        found = self.by_seq(self.request.GET.get("version"))
        if found is None:
            raise Http404("Say which version: ?version=...")
        return found

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        version, form = self.version(), NoteForm(request.POST)
        if not form.is_valid():
            return self.render_to_response(self.get_context_data(form=form))
        if not isinstance(request.user, User):
            raise PermissionDenied
        note = version_annotate(
            tracked=self.tracked,
            record_id=version.record_id,
            seq=version.seq,
            name=form.cleaned_data["name"],
            comment=form.cleaned_data["comment"],
            author=request.user,
        )
        said = f"{self.tracked} {version.record_id}, version {version.number}"
        told = f"is now called {note}." if note is not None else "has no name and no comment now."
        self.model_admin.log_change(request, self.tracked, f"{said} {told}")
        messages.success(request, f"Version {version.number} {told}")
        return HttpResponseRedirect(record_url(self.tracked, self.record_id))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        version = self.version()
        note = version.note
        initial = {"name": note.name, "comment": note.comment} if note is not None else None
        form = kwargs.pop("form", None) or NoteForm(initial=initial)
        context = version.context
        return super().get_context_data(
            **kwargs,
            **self.frame(f"{self.tracked} {self.record_id}"),
            form=form,
            name=version_name(version),
            facts=[
                Fact("What was done", did(version)),
                Fact("By", who(version.actor, context)),
                Fact("When", when(version.at)),
                *([Fact("Reason", context.reason)] if context and context.reason else []),
                *([Fact("Named by", str(note.author), f"{note.at:%-d %b %Y}")] if note else []),
            ],
            shown_values=value_lines(self.shape, version),
        )

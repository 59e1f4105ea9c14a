"""Evidence: a zip for an examiner, asked for with a reason, fetched from the page of its run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.generic import View
from unfold.widgets import UnfoldAdminTextInputWidget

from auditing.admin.log_form import MomentInput
from auditing.admin.own import is_own, may_see_rows
from auditing.admin.record import EXPORT
from auditing.admin.seal_actions import SealsView
from auditing.models import TrackedTable
from auditing.services.evidence_export import EVIDENCE_EXPORT, evidence_request
from operations.admin.confirm import ReasonForm
from operations.dispatch import wake
from operations.models import Run
from operations.services.runs import run_log
from operations.storage import StorageError, storage


class EvidenceForm(ReasonForm):
    tables = forms.MultipleChoiceField(
        required=False,
        widget=forms.SelectMultiple({"class": "c-input", "size": 8}),
        help_text="None chosen: all that you may see. Ctrl or Cmd for several.",
    )
    record = forms.CharField(
        required=False,
        max_length=2_000,
        strip=False,
        widget=UnfoldAdminTextInputWidget({"autocomplete": "off", "spellcheck": "false"}),
        help_text="The key of one record, with its one table. Empty: all records.",
    )
    since = forms.DateTimeField(label="From", required=False, widget=MomentInput)
    until = forms.DateTimeField(
        label="To", required=False, widget=MomentInput, help_text="That minute is part of it."
    )

    def __init__(self, *args: Any, tables: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["tables"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(name, name) for name in tables]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        since, until = given.get("since"), given.get("until")
        if since and until and until < since:
            self.add_error("until", "That is before the beginning.")
        if given.get("record") and len(given.get("tables") or []) != 1:
            self.add_error("record", "A record is of one table: choose that one above.")
        return given


class EvidenceView(SealsView):
    """What of the log, and why; then a run writes the zip."""

    permission = EXPORT
    form_class = EvidenceForm
    button = "Export evidence"
    consequence = (
        "A run writes one zip: versions, who made them and why, the blocks and proofs that nobody "
        "altered them, and verify_evidence.py, which an examiner runs without this console. It "
        "may hold personal data: it stays in the storage for 30 days, and who fetches it is noted."
    )

    def allowed(self) -> list[TrackedTable]:
        found = [t for t in TrackedTable.objects.all() if may_see_rows(self.request.user, t)]
        return sorted(found, key=lambda each: (is_own(each), str(each)))

    def get_form_kwargs(self) -> dict[str, Any]:
        kwargs: dict[str, Any] = super().get_form_kwargs()
        return {**kwargs, "tables": list(dict.fromkeys(map(str, self.allowed())))}

    def get_initial(self) -> dict[str, Any]:
        given = self.request.GET
        return {"tables": given.getlist("table"), "record": given.get("record", "")}

    def act(self, reason: str) -> str:
        given, chosen = self.given, self.given["tables"]
        if not chosen and len(self.allowed()) < TrackedTable.objects.count():
            chosen = list(dict.fromkeys(map(str, self.allowed())))
        until = given["until"]
        self.run = evidence_request(
            since=given["since"],
            until=until + timedelta(minutes=1) if until is not None else None,
            tables=chosen,
            record=given["record"] or None,
            requester=self.person,
            reason=reason,
        )
        wake(self.run.pk)
        return f"Run {self.run.pk} writes the evidence: fetch it here when it has succeeded."

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, question="Export evidence?")


class EvidenceFileView(View):
    """Streams the zip. Who took it is in the log of the run."""

    http_method_names = ("get", "options")
    model_admin: Any = None

    def get(self, request: HttpRequest, run_id: int, **kwargs: Any) -> HttpResponse:
        if not request.user.has_perm(EXPORT):
            raise PermissionDenied
        run = Run.objects.filter(pk=run_id, kind=EVIDENCE_EXPORT).first()
        if run is None:
            raise Http404
        page = reverse("admin:operations_run_change", args=[run.pk])
        path = run.result.get("file")
        if not path:
            messages.error(request, f"Run {run.pk} has no file in the storage.")
            return HttpResponseRedirect(page)
        if not may_fetch(request.user, run):
            raise PermissionDenied
        try:
            file = storage().open(path)
        except StorageError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(page)
        run_log(run, f"The evidence was fetched by {request.user}.")
        return FileResponse(  # type: ignore[return-value]
            file,
            as_attachment=True,
            filename=f"evidence-{run.pk}.zip",
            content_type="application/zip",
        )


def may_fetch(user: Any, run: Run) -> bool:
    """Who may export, and see the rows of each table in it: it was asked for by somebody else."""
    tables = TrackedTable.objects.filter(pk__in=run.parameters.get("tracked", []))
    return user.has_perm(EXPORT) and all(may_see_rows(user, each) for each in tables)

"""The audit of a table begun, changed and ended: shown first, then confirmed with a reason."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import urlencode
from django.views.generic import TemplateView
from unfold.views import UnfoldModelAdminViewMixin

from auditing.admin.column_form import AuditedColumn, ColumnForm, suggested
from auditing.admin.tracked_facts import tracked_facts
from auditing.models import Handling, TrackedTable
from auditing.services.baseline import baseline_start
from auditing.services.sync import table_sync
from auditing.services.terms_change import terms_change
from auditing.services.track import TrackTerms, table_track
from auditing.services.untrack import table_untrack
from operations.admin.confirm import ConfirmView
from operations.admin.table_choice import table_choice, table_line
from operations.catalogue.read import table as read_table
from operations.catalogue.read import tables
from operations.catalogue.types import Table
from operations.dispatch import wake
from operations.exceptions import CustodyError
from operations.runs.exceptions import RunBusy

TRACK = "auditing.track_table"


class _Tracking:
    """For who may begin and end audits, and nobody else."""

    request: HttpRequest

    def has_permission(self) -> bool:
        return bool(self.request.user.has_perm(TRACK))


class TrackTablesView(_Tracking, UnfoldModelAdminViewMixin, TemplateView):
    """Which table is to be audited?"""

    template_name = "auditing/track_tables.html"
    raise_exception = True
    title = "Which table?"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        audited = set(
            TrackedTable.objects.filter(untracked_at=None).values_list("table_oid", flat=True)
        )
        return super().get_context_data(
            **kwargs,
            opts=self.model_admin.opts,
            **table_choice(
                self.request,
                (table for table in tables() if table.partition_of is None),
                name=lambda table: table.name,
                line=lambda table: _line(table, table.oid in audited),
            ),
        )


def _line(table: Table, audited: bool) -> dict[str, str]:
    note = ""
    if audited:
        note = "is audited"
    elif table.kind == "foreign":
        note = "a foreign table: its rows are changed elsewhere"
    elif table.key is None:
        note = "has no key that names its rows"
    page = reverse("admin:auditing_trackedtable_add")
    url = "" if note else f"{page}?{urlencode({'table': str(table.name)})}"
    return table_line(table, note=note, url=url)


class _ColumnsView(_Tracking, ConfirmView):
    form_class = ColumnForm
    template_name = "auditing/columns.html"
    reason_required = False

    def columns(self) -> list[AuditedColumn]:
        raise NotImplementedError

    def get_form_kwargs(self) -> dict[str, Any]:
        kwargs: dict[str, Any] = super().get_form_kwargs()
        return {
            **kwargs,
            "columns": self.columns(),
            "reason_required": self.reason_required,
        }

    def form_valid(self, form: forms.Form) -> Any:
        assert isinstance(form, ColumnForm)
        self.given = form
        return super().form_valid(form)

    def chosen(self) -> TrackTerms:
        form = self.given
        return TrackTerms(
            exclude=tuple(form.handled(Handling.EXCLUDED)),
            mask=tuple(form.handled(Handling.MASKED)),
            significant=() if form.all_significant else tuple(form.significant),
            reason_required=form.cleaned_data["reason_required"],
        )


def baseline_of(tracked: TrackedTable, person: User, reason: str) -> str:
    """Has the images of today's rows taken, where they are missing; says so."""
    try:
        run = baseline_start(tracked, requester=person, reason=reason)
    except RunBusy:
        return ""
    if run is None:
        return ""
    wake(run.pk)
    return f" {run} copies the rows of today."


class TrackView(_ColumnsView):
    """`?table=schema.name`: its columns, then it is audited."""

    button = "Audit this table"
    consequence = (
        "Triggers are added to the table. Its rows of today are copied once, in short batches, by "
        "a run; writers wait for nothing. What may not be kept is masked or left out here."
    )
    tracked: TrackedTable | None = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.has_permission():
            raise PermissionDenied
        try:
            self.table = read_table(request.GET.get("table", ""))
        except CustodyError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(reverse("admin:auditing_trackedtable_add"))
        return super().dispatch(request, *args, **kwargs)

    def find(self) -> Table:
        return self.table

    def columns(self) -> list[AuditedColumn]:
        key = self.table.key.columns if self.table.key is not None else ()
        return [
            AuditedColumn(
                each.name,
                each.type,
                suggested(each.name),
                in_key=each.name in key,
                generated=each.generated,
            )
            for each in self.table.columns
        ]

    def act(self, reason: str) -> str:
        tracked = table_track(
            self.table.name, actor=self.person, reason=reason, terms=self.chosen()
        )
        self.tracked = tracked
        self.model_admin.log_change(self.request, tracked, f"Audit began. Reason: {reason}")
        return f"{tracked} is audited from now on.{baseline_of(tracked, self.person, reason)}"

    def back(self) -> str:
        if self.tracked is not None:
            return reverse("admin:auditing_trackedtable_change", args=[self.tracked.pk])
        return reverse("admin:auditing_trackedtable_add")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.title = f"Audit {self.table.name}"
        context = super().get_context_data(**kwargs, question=f"Audit {self.table.name}?")
        return {**context, "original": self.title}


class _TrackedView(_Tracking, ConfirmView):
    def find(self) -> TrackedTable | None:
        return TrackedTable.objects.filter(pk=self.kwargs["pk"]).first()

    def not_now(self) -> str:
        tracked: TrackedTable = self.object
        if tracked.untracked_at is not None:
            return f"{tracked} is not audited any more: its history stays as it is."
        return ""

    def back(self) -> str:
        return reverse("admin:auditing_trackedtable_change", args=[self.kwargs["pk"]])

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.title = f"{self.button}: {self.object}"
        return super().get_context_data(
            **kwargs,
            question=f"{self.button}: {self.object}?",
            facts_title="As it is now",
            facts=tracked_facts(self.object),
            hidden={},
        )


class UntrackView(_TrackedView):
    button = "End the audit"
    variant = "danger"
    consequence = (
        "The triggers are taken off the table, and no change of its rows is kept from then on. "
        "The history so far stays and can be read; nothing can be restored from it into the gap."
    )

    def typed(self) -> str:
        return str(self.object)

    def act(self, reason: str) -> str:
        table_untrack(self.object, actor=self.person, reason=reason)
        self.model_admin.log_change(self.request, self.object, f"Audit ended. Reason: {reason}")
        return f"{self.object} is not audited any more. Its history stays."


class SyncView(_TrackedView):
    button = "Adjust to its columns"
    consequence = (
        "The history gets columns for what the table has by now, what was put aside meanwhile is "
        "moved there, and the triggers are put right. No value is lost before or after."
    )

    def act(self, reason: str) -> str:
        synced = table_sync(self.object, actor=self.person, reason=reason)
        self.model_admin.log_change(self.request, self.object, f"Adjusted. Reason: {reason}")
        told = "is as the table is now" if synced.anything else "was as it should be already"
        baseline = baseline_of(synced.tracked, self.person, reason)
        return f"The audit of {synced.tracked} {told}.{baseline}"


class AdjustView(_ColumnsView, _TrackedView):
    button = "Change what is kept"
    consequence = (
        "From then on. What the history has stays: a column that is masked now is not masked in "
        "older versions."
    )

    @property
    def reason_required(self) -> bool:  # type: ignore[override]
        return bool(self.object.reason_required)

    def columns(self) -> list[AuditedColumn]:
        return [
            AuditedColumn(
                each.name,
                each.type,
                each.handling,
                each.significant,
                each.key_position is not None,
                each.generated,
            )
            for each in self.object.columns.filter(dropped_at=None)
        ]

    def act(self, reason: str) -> str:
        tracked = terms_change(
            tracked=self.object, terms=self.chosen(), actor=self.person, reason=reason
        )
        self.model_admin.log_change(self.request, tracked, f"Changed. Reason: {reason}")
        baseline = baseline_of(tracked, self.person, reason)
        return f"What is kept of {tracked} is changed.{baseline}"

"""Soft delete of a table enabled, changed and disabled: chosen, shown as a plan, then confirmed.

Nothing is done within a request: a run does it, as the commands do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import OperationalError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import urlencode
from django.views.generic import FormView, TemplateView
from psycopg import errors
from unfold.views import UnfoldModelAdminViewMixin

from operations.admin.confirm import ConfirmView
from operations.admin.table_choice import table_choice, table_line
from operations.admin.table_words import table_words
from operations.catalogue.read import tables
from operations.catalogue.types import Table, TableName
from operations.dispatch import wake
from operations.exceptions import CustodyError
from operations.models import Run
from operations.session import set_local
from retention.admin.softdelete_form import SoftDeleteForm, key_words
from retention.admin.softdelete_plan_page import (
    changes_anything,
    plan_context,
    plan_mark,
    undo_context,
)
from retention.exceptions import SoftDeleteRefused
from retention.models import SoftDeleteTable
from retention.selectors.softdelete_choices import Choices, softdelete_choices
from retention.selectors.softdelete_plan import EnablePlan, softdelete_plan
from retention.selectors.softdelete_undo import DisablePlan, softdelete_undo
from retention.services.softdelete_change import softdelete_change_start

ENABLE = "retention.enable_softdelete"
LOOKING_SECONDS = 5.0
"""The longest that one look at the tables may take while somebody waits for a page."""


class _Enabling:
    """For who may enable and disable soft delete, and nobody else."""

    request: HttpRequest

    def has_permission(self) -> bool:
        return bool(self.request.user.has_perm(ENABLE))


@contextmanager
def _briefly(command: str) -> Iterator[None]:
    """A look at tables that may be large. Raises SoftDeleteRefused when it takes too long."""
    try:
        with transaction.atomic():
            set_local({"statement_timeout": f"{LOOKING_SECONDS:g}s"}, using="default")
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, errors.QueryCanceled):
            raise SoftDeleteRefused(
                f"Looking at the table took over {LOOKING_SECONDS:g} seconds, which a page does "
                f"not wait for: run {command}."
            ) from error
        raise


class SoftDeleteTablesView(_Enabling, UnfoldModelAdminViewMixin, TemplateView):
    """Which table is to have soft delete?"""

    template_name = "retention/softdelete_choose.html"
    raise_exception = True
    title = "Which table?"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        enabled = {row.table_oid: row for row in SoftDeleteTable.objects.filter(disabled_at=None)}
        return super().get_context_data(
            **kwargs,
            opts=self.model_admin.opts,
            **table_choice(
                self.request,
                (table for table in tables() if table.partition_of is None),
                name=lambda table: table.name,
                line=lambda table: _line(table, enabled.get(table.oid)),
            ),
        )


def _line(table: Table, row: SoftDeleteTable | None) -> dict[str, str]:
    note, url = "", ""
    if row is not None:
        note = "has soft delete" if row.ready_at else "was begun: go on with it"
        url = form_url(table.name)
    elif table.kind == "foreign":
        note = "a foreign table: soft delete works where its rows are"
    elif table.key is None:
        note = "has no key that names its rows"
    else:
        url = form_url(table.name)
    return table_line(table, note=note, url=url)


def form_url(table: TableName, query: dict[str, Any] | None = None) -> str:
    """The form of the table's terms; with the query of a plan, as it was left."""
    page = reverse("admin:retention_softdeletetable_add")
    return f"{page}?{urlencode({'table': str(table), **(query or {})}, doseq=True)}"


class _OfTable(_Enabling):
    """`?table=schema.name`, found in the catalogue before anything else."""

    choices: Choices

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.has_permission():
            raise PermissionDenied
        try:
            with _briefly("manage.py softdelete_enable TABLE --dry-run"):
                self.choices = softdelete_choices(request.GET.get("table", ""))
        except CustodyError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(reverse("admin:retention_softdeletetable_add"))
        answer: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        return answer

    @property
    def table(self) -> TableName:
        return self.choices.table.name


class SoftDeleteFormView(_OfTable, UnfoldModelAdminViewMixin, FormView):
    """The terms. Posted and right they lead to the plan; nothing changes before that."""

    form_class = SoftDeleteForm
    template_name = "retention/softdelete_form.html"
    raise_exception = True

    @property
    def title(self) -> str:
        verb = "Change soft delete" if self.choices.entry else "Enable soft delete"
        return f"{verb}: {self.table}"

    def get_form_kwargs(self) -> dict[str, Any]:
        kwargs = {**super().get_form_kwargs(), "choices": self.choices}
        asked = self.request.GET
        if self.request.method == "GET" and "grace_days" in asked:
            kwargs["initial"] = {
                "grace_days": asked["grace_days"],
                **{name: name in asked for name in ("capture_deletes", "row_security")},
                **{n: asked.getlist(n) for n in ("hide_from", "along", "unique_active")},
            }
        return kwargs

    def form_valid(self, form: SoftDeleteForm) -> HttpResponse:
        page = reverse("admin:retention_softdeletetable_plan")
        query = urlencode({"table": str(self.table), **form.query()}, doseq=True)
        return HttpResponseRedirect(f"{page}?{query}")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        entry = self.choices.entry
        listed = reverse("admin:retention_softdeletetable_changelist")
        return super().get_context_data(
            **kwargs,
            opts=self.model_admin.opts,
            original=entry,
            table=self.table,
            table_facts=table_words(self.choices.table),
            cascading=[(each.name, key_words(edge)) for each, edge in self.choices.cascading],
            back=_entry_url(entry) if entry else listed,
        )


class _PlanView(ConfirmView):
    """A plan, confirmed by the table's name and a reason; then a run does it."""

    template_name = "retention/softdelete_plan.html"
    plan: EnablePlan | DisablePlan
    run: Run | None = None

    def typed(self) -> str:
        return str(self.plan.name)

    def act(self, reason: str) -> str:
        if self.request.POST.get("seen") != plan_mark(self.plan):
            raise SoftDeleteRefused(
                "The tables have changed since this plan was shown, and nothing was done: look at "
                "the plan as it is now."
            )
        self.run = self.start(reason)
        wake(self.run.pk)
        return f"{self.run} does it, step by step. This page shows how far it is."

    def start(self, reason: str) -> Run:
        raise NotImplementedError

    def form_valid(self, form: forms.Form) -> HttpResponse:
        if not self.changes():
            return HttpResponseRedirect(self.back())
        return super().form_valid(form)

    def changes(self) -> bool:
        """Whether there is something to do, and nothing in the way."""
        return not self.plan.obstacles

    def back(self) -> str:
        if self.run is not None:
            return reverse("admin:operations_run_change", args=[self.run.pk])
        return self.came_from()

    def came_from(self) -> str:
        raise NotImplementedError

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(
            **kwargs,
            question=f"{self.button}: {self.plan.name}?",
            changes=self.changes(),
            hidden={"seen": plan_mark(self.plan)},
        )
        return {**context, "original": str(self.plan.name), "title": self.title}


class SoftDeletePlanView(_OfTable, _PlanView):
    """What enabling would do, or other terms. Nothing has happened yet."""

    plan: EnablePlan

    def find(self) -> Any:
        self.chosen = SoftDeleteForm(self.request.GET, choices=self.choices)
        return self.table

    def not_now(self) -> str:
        if not self.chosen.is_valid():
            return " ".join(str(text) for found in self.chosen.errors.values() for text in found)
        self.asked = self.chosen.asked()
        with _briefly(f"manage.py softdelete_enable {self.table} --dry-run"):
            self.plan = softdelete_plan(self.table, asked=self.asked)
        entry = self.choices.entry
        verb = "Change soft delete" if entry and entry.ready_at else "Enable soft delete"
        self.button, self.title = verb, f"{verb}: {self.table}"
        return ""

    def changes(self) -> bool:
        return super().changes() and changes_anything(self.plan)

    def start(self, reason: str) -> Run:
        return softdelete_change_start(
            self.plan, asked=self.asked, requester=self.person, reason=reason
        )

    def came_from(self) -> str:
        valid = self.chosen.is_valid()
        return form_url(self.table, self.chosen.query() if valid else None)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.consequence = (
            "A run does the steps one by one. No row is written, indexes are built beside the "
            "writers, and what takes a lock gives it back within two seconds or tries again "
            "later. It can be stopped at any moment and goes on where it was."
        )
        return super().get_context_data(**kwargs, **plan_context(self.plan))


class SoftDeleteDisableView(_Enabling, _PlanView):
    """What disabling would take away, and what keeps it from that: first what is in the bin."""

    button = "Disable soft delete"
    variant = "danger"
    plan: DisablePlan

    def find(self) -> SoftDeleteTable | None:
        return SoftDeleteTable.objects.filter(pk=self.kwargs["pk"]).first()

    def not_now(self) -> str:
        entry: SoftDeleteTable = self.object
        if entry.disabled_at is not None:
            return f"{entry} has no soft delete any more."
        with _briefly(f"manage.py softdelete_disable {entry.table}"):
            self.plan = softdelete_undo(entry.table)
        self.title = f"{self.button}: {self.plan.name}"
        return ""

    def start(self, reason: str) -> Run:
        return softdelete_change_start(self.plan, asked=None, requester=self.person, reason=reason)

    def came_from(self) -> str:
        return reverse("admin:retention_softdeletetable_change", args=[self.kwargs["pk"]])

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.consequence = (
            "A run takes it away step by step. From its first step on nothing can be deleted "
            "softly: a DELETE is a DELETE again. Enabling it goes the way back."
        )
        listed = reverse("admin:retention_deletion_changelist")
        return super().get_context_data(
            **kwargs,
            **undo_context(self.plan),
            bin_url=f"{listed}?{urlencode({'table': str(self.plan.name)})}",
        )


def _entry_url(entry: SoftDeleteTable) -> str:
    return reverse("admin:retention_softdeletetable_change", args=[entry.pk])

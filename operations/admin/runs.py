"""Runs: what was asked for, how far it is, how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from operations.admin.base import ReadOnlyAdmin
from operations.admin.run_page import percent, run_page
from operations.admin.run_presenting import kind_title, presenter
from operations.admin.run_views import RunDecisionView, RunProgressView
from operations.admin.show import STATE_COLOURS, badge, duration, lines, when
from operations.models import Run
from operations.runs.kinds import run_kinds


class KindFilter(admin.SimpleListFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(name, kind.title) for name, kind in sorted(run_kinds().items())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    page_template = "operations/run.html"
    page_related = ("requester", "decided_by")
    payload = ("parameters", "plan", "cursor", "result", "error", "reason", "decision_reason")
    list_display = ("name", "state_shown", "progress", "asked_by", "asked", "took")
    list_select_related: ClassVar = ["requester"]
    list_filter = ("state", KindFilter)
    search_fields = ("subject", "requester__username")
    search_help_text = "What it works on, or who asked for it"

    @admin.display(description="Run", ordering="id")
    def name(self, run: Run) -> SafeString:
        return lines(f"{kind_title(run.kind)} of {run.subject}", f"Run {run.pk}")

    @admin.display(description="State", ordering="state")
    def state_shown(self, run: Run) -> SafeString:
        return badge(run.current.label, STATE_COLOURS[run.state])

    @admin.display(description="Done")
    def progress(self, run: Run) -> SafeString:
        total = f" of {run.total:,}" if run.total is not None else ""
        return format_html(
            '<span class="c-mini"><span>{}{} {}</span>'
            '<span class="c-bar c-bar-small"><span style="width: {}%"></span></span></span>',
            f"{run.done:,}",
            total,
            run.unit,
            percent(run) or 0,
        )

    @admin.display(description="Asked for by", ordering="requester__username")
    def asked_by(self, run: Run) -> str:
        return str(run.requester)

    @admin.display(description="Asked for", ordering="created_at")
    def asked(self, run: Run) -> SafeString | str:
        return when(run.created_at)

    @admin.display(description="Took")
    def took(self, run: Run) -> str:
        if run.started_at is None or run.finished_at is None:
            return duration(None)
        return duration(run.finished_at - run.started_at)

    def page(self, request: HttpRequest, obj: Run) -> dict[str, Any]:
        number = request.GET.get("log", "1")
        page = int(number) if number.isdecimal() and len(number) < 9 else 1
        return {
            **run_page(obj, request.user, log_page=page),
            "warnings": presenter(obj).warnings(obj),
            "details": presenter(obj).details(obj),
        }

    def get_urls(self) -> list[URLPattern]:
        protect = self.admin_site.admin_view
        return [
            path(
                "<int:run_id>/progress/",
                protect(RunProgressView.as_view(model_admin=self)),
                name="operations_run_progress",
            ),
            path(
                "<int:run_id>/decide/<slug:decision>/",
                protect(RunDecisionView.as_view(model_admin=self)),
                name="operations_run_decide",
            ),
            *super().get_urls(),
        ]

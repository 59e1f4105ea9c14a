"""Alerts: what somebody must look at, and what was mended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from operations.admin.base import ReadOnlyAdmin
from operations.admin.show import NOTHING, Fact, badge, link, when
from operations.models import Alert


class OpenFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("yes", "Open"), ("no", "Resolved")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        if self.value() is None:
            return queryset
        return queryset.filter(resolved_at__isnull=self.value() == "yes")


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    page_template = "custody/page.html"
    page_related = ("run",)
    payload = ("remedy",)
    list_display = ("summary", "severity_shown", "state_shown", "about", "raised")
    list_select_related: ClassVar = ["run"]
    list_filter = (OpenFilter, "severity")
    search_fields = ("summary",)

    @admin.display(description="Severity", ordering="severity")
    def severity_shown(self, alert: Alert) -> SafeString:
        return severity_badge(alert)

    @admin.display(description="State", ordering="resolved_at")
    def state_shown(self, alert: Alert) -> SafeString:
        return badge("Open", "warning") if alert.resolved_at is None else badge("Resolved")

    @admin.display(description="About")
    def about(self, alert: Alert) -> SafeString | str:
        return _about(alert)

    @admin.display(description="Raised", ordering="raised_at")
    def raised(self, alert: Alert) -> SafeString | str:
        return when(alert.raised_at)

    def page(self, request: HttpRequest, obj: Alert) -> dict[str, Any]:
        return {
            "badges": [severity_badge(obj), self.state_shown(obj)],
            "notice": obj.remedy if obj.resolved_at is None else "",
            "notice_title": "What to do",
            "facts": [
                Fact("About", _about(obj)),
                Fact("Raised", when(obj.raised_at)),
                Fact("Mailed", when(obj.mailed_at, empty="to nobody")),
                Fact("Resolved", when(obj.resolved_at, empty="not yet")),
                *([Fact("What was to do", obj.remedy)] if obj.resolved_at and obj.remedy else []),
            ],
        }


def severity_badge(alert: Alert) -> SafeString:
    return badge(alert.get_severity_display(), "danger" if alert.severity == "error" else "warning")


def _about(alert: Alert) -> SafeString | str:
    if alert.run is None:
        return NOTHING
    return link(alert.run, "operations_run_change", alert.run.pk)

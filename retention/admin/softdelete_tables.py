"""Tables whose rows go into the bin before they are destroyed: what was made, what is in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from auditing.admin.words import actor_link
from operations.admin.base import ReadOnlyAdmin
from operations.admin.show import NOTHING, Fact, badge, code, joined, lines, number, when
from operations.catalogue.read import tables_by_oid
from operations.catalogue.types import Table, TableName
from operations.selectors.runs import run_open_for
from retention.admin.hold_facts import hold_facts
from retention.admin.softdelete_edit import (
    ENABLE,
    SoftDeleteDisableView,
    SoftDeleteFormView,
    SoftDeletePlanView,
    SoftDeleteTablesView,
    form_url,
)
from retention.admin.softdelete_words import grace_words
from retention.models import SoftDeleteTable
from retention.selectors.bin_amounts import COUNTED, rows_in_bin
from retention.services.softdelete_change import SOFTDELETE_CHANGE


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "enabled"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("yes", "Enabled"), ("no", "Disabled")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[SoftDeleteTable]
    ) -> QuerySet[SoftDeleteTable]:
        if self.value() is None:
            return queryset
        return queryset.filter(disabled_at__isnull=self.value() == "yes")


@admin.register(SoftDeleteTable)
class SoftDeleteTableAdmin(ReadOnlyAdmin):
    page_template = "retention/softdelete_table.html"
    list_display = ("name", "grace", "options", "enabled", "state")
    list_filter = (StateFilter,)
    search_fields: ClassVar = ["schema_name", "table_name"]
    search_help_text = "Its name"
    payload = ("made", "active_unique", "along")

    @admin.display(description="Table", ordering="table_name")
    def name(self, table: SoftDeleteTable) -> SafeString:
        return lines(table.table, f"active rows in {table.view}")

    @admin.display(description="Grace", ordering="grace_days")
    def grace(self, table: SoftDeleteTable) -> str:
        return grace_words(table)

    @admin.display(description="Options")
    def options(self, table: SoftDeleteTable) -> SafeString | str:
        return options_shown(table)

    @admin.display(description="Since", ordering="enabled_at")
    def enabled(self, table: SoftDeleteTable) -> SafeString | str:
        return when(table.enabled_at)

    @admin.display(description="State")
    def state(self, table: SoftDeleteTable) -> SafeString:
        return table_badge(table)

    def page(self, request: HttpRequest, obj: SoftDeleteTable) -> dict[str, Any]:
        found = tables_by_oid([obj.table_oid], using=obj.database).get(obj.table_oid)
        listed = reverse("admin:retention_deletion_changelist")
        run = run_open_for(kind=SOFTDELETE_CHANGE, subject=str(found.name if found else obj.table))
        return {
            "run": run,
            "may_enable": request.user.has_perm(ENABLE),
            "form_url": form_url(found.name) if found is not None else "",
            "badges": [table_badge(obj)],
            "facts": [
                *_facts(obj, found),
                *hold_facts(obj.table, request.user, using=obj.database),
            ],
            "made": _made(obj, found),
            "unique": [_unique(each) for each in obj.active_unique],
            "bin_url": f"{listed}?{urlencode({'table': str(obj.table)})}"
            if request.user.has_perm("retention.view_deletion")
            else "",
        }

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(ENABLE)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        view = SoftDeleteFormView if "table" in request.GET else SoftDeleteTablesView
        answer: HttpResponseBase = view.as_view(model_admin=self)(request)
        return answer

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("plan/", SoftDeletePlanView, "plan"),
            self.at("<int:pk>/disable/", SoftDeleteDisableView, "disable"),
            *super().get_urls(),
        ]


def table_badge(table: SoftDeleteTable) -> SafeString:
    if table.disabled_at is not None:
        return badge("Disabled")
    return badge("Enabled", "success") if table.ready_at else badge("Not all is made", "warning")


def options_shown(table: SoftDeleteTable) -> SafeString | str:
    found = []
    if table.capture_deletes:
        found.append(badge("Its own DELETE", "info"))
    if table.row_security:
        found.append(badge("Hidden by policies", "info"))
    return joined(found) if found else NOTHING


def _facts(obj: SoftDeleteTable, table: Table | None) -> list[Fact]:
    facts = [
        Fact("Table", code(str(obj.table)), _name_now(obj, table)),
        Fact(
            "Active rows", code(str(obj.view)), "a view beside the table: what it has not deleted"
        ),
        Fact("In the bin", _rows(obj, table)),
        Fact("Grace", grace_words(obj), "for which a record can be restored"),
        Fact("Since", when(obj.enabled_at)),
        Fact("By", actor_link(obj.enabled_by) if obj.enabled_by else NOTHING),
    ]
    if obj.reason:
        facts.append(Fact("Reason", obj.reason))
    facts += [
        Fact("A DELETE of the application", _captured(obj)),
        Fact("Deleted rows are hidden", _hidden(obj)),
    ]
    if obj.along:
        names = joined([format_html("{}", code(str(TableName(*each)))) for each in obj.along])
        facts.append(Fact("Go along as well", names, "although their foreign key does not cascade"))
    if obj.disabled_at is not None:
        facts.append(Fact("Disabled", when(obj.disabled_at)))
    verb = "softdelete_enable" if obj.disabled_at is not None else "softdelete_disable"
    facts.append(Fact("On the command line", code(f"manage.py {verb} {obj.table}")))
    return facts


def _name_now(obj: SoftDeleteTable, table: Table | None) -> str:
    if table is None:
        return "it is gone"
    return f"now called {table.name}" if table.name != obj.table else ""


def _rows(obj: SoftDeleteTable, table: Table | None) -> str:
    count = rows_in_bin(table, using=obj.database) if table is not None else None
    if count is None:
        return "unknown" if obj.disabled_at is None else "nothing: it is disabled"
    shown = f"over {COUNTED:,}" if count > COUNTED else number(count)
    return f"{shown} row{'' if count == 1 else 's'}"


def _captured(obj: SoftDeleteTable) -> str:
    return "goes into the bin" if obj.capture_deletes else "deletes for good, as ever"


def _hidden(obj: SoftDeleteTable) -> str:
    if not obj.row_security:
        return "only in the view"
    roles = ", ".join(obj.hidden_from)
    return f"in the table too, from {roles}" if roles else "in the table too, by policies"


def _made(obj: SoftDeleteTable, table: Table | None) -> list[tuple[str, str, bool]]:
    """Each column that soft delete needs: what is in it, and whether it is there."""
    told = {
        "deleted_at": "when the row was deleted; NULL for an active one",
        "deleted_by": "who deleted it",
        "deletion_id": "the deletion that it belongs to, with an index of what is in the bin",
    }
    there = table is not None
    return [
        (name, words, there and table is not None and table.column(name) is not None)
        for name, words in told.items()
    ]


def _unique(each: dict[str, Any]) -> tuple[str, str]:
    return each.get("name", ""), ", ".join(each.get("columns", []))

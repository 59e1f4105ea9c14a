"""Audited tables: how each stands, its columns, what was done to its audit, its records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from auditing.admin.record import RecordCompareView, RecordPageView
from auditing.admin.record_by_key import RecordByKeyView
from auditing.admin.record_find import RecordFindView
from auditing.admin.record_note import RecordNoteView
from auditing.admin.record_redact import RecordRedactView
from auditing.admin.record_restore import RecordRestoreView
from auditing.admin.tracked_edit import (
    TRACK,
    AdjustView,
    SyncView,
    TrackTablesView,
    TrackView,
    UntrackView,
)
from auditing.admin.tracked_facts import state_badge, tracked_facts
from auditing.admin.words import actor_link
from auditing.models import AuditEvent, Handling, TrackedColumn, TrackedTable
from auditing.selectors.history_sizes import history_sizes
from auditing.selectors.log_filter import OWN
from auditing.selectors.tracked import standings
from auditing.services.baseline import AUDIT_BASELINE
from operations.admin.base import ReadOnlyAdmin
from operations.admin.show import lines, number, size, when
from operations.selectors.runs import run_open_for

EVENTS = 20


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "audited"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("yes", "Audited"), ("no", "Ended")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[TrackedTable]
    ) -> QuerySet[TrackedTable]:
        if self.value() is None:
            return queryset
        return queryset.filter(untracked_at__isnull=self.value() == "yes")


@admin.register(TrackedTable)
class TrackedTableAdmin(ReadOnlyAdmin):
    page_template = "auditing/tracked.html"
    list_display = ("table_shown", "kept", "since")
    list_filter = (StateFilter, "schema_name")
    # The console's own come last.
    ordering = (ExpressionWrapper(Q(schema_name=OWN), BooleanField()), "schema_name", "table_name")
    search_fields = ("schema_name", "table_name")
    search_help_text = "Its schema or its name"

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        # Asked once for the whole list.
        sizes = history_sizes()
        problems = {each.tracked.pk: each.problems for each in standings()}

        @admin.display(description="State", ordering="untracked_at")
        def state(tracked: TrackedTable) -> SafeString:
            return state_badge(tracked, problems.get(tracked.pk, []))

        @admin.display(description="History")
        def history(tracked: TrackedTable) -> str:
            return size(sizes.get(tracked.history_name))

        return ("table_shown", state, *self.list_display[1:], history)

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrackedTable]:
        found: QuerySet[TrackedTable] = super().get_queryset(request)
        return found.prefetch_related("columns")

    @admin.display(description="Table", ordering="table_name")
    def table_shown(self, tracked: TrackedTable) -> str:
        return str(tracked)

    @admin.display(description="What is kept")
    def kept(self, tracked: TrackedTable) -> SafeString:
        return kept_words(list(tracked.columns.all()))

    @admin.display(description="Since", ordering="tracked_at")
    def since(self, tracked: TrackedTable) -> SafeString | str:
        return when(tracked.tracked_at)

    def page(self, request: HttpRequest, obj: TrackedTable) -> dict[str, Any]:
        log = reverse("admin:auditing_changestatement_changelist")
        columns = list(obj.columns.filter(dropped_at=None))
        standing = next(iter(standings(only=obj)), None)
        problems = standing.problems if standing is not None else []
        return {
            "tracked": obj,
            "badges": [state_badge(obj, problems)],
            "problems": problems,
            "remarks": standing.remarks if standing is not None else [],
            "run_url": _baseline_url(obj),
            "facts": tracked_facts(obj),
            "columns": [_column(each) for each in columns],
            "key": ", ".join(each.name for each in _key(columns)),
            "events": [_event(each) for each in obj.events.order_by("-id")[:EVENTS]],
            "log_url": f"{log}?{urlencode({'table': str(obj)})}",
            "may_track": request.user.has_perm(TRACK) and obj.untracked_at is None,
        }

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(TRACK)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        view = TrackView if "table" in request.GET else TrackTablesView
        answer: HttpResponseBase = view.as_view(model_admin=self)(request)
        return answer

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("find/", RecordFindView, "find"),
            self.at("find/key/", RecordByKeyView, "find_key"),
            self.at("<int:pk>/adjust/", AdjustView, "adjust"),
            self.at("<int:pk>/sync/", SyncView, "sync"),
            self.at("<int:pk>/untrack/", UntrackView, "untrack"),
            self.at("<int:pk>/record/<str:slug>/", RecordPageView, "record"),
            self.at("<int:pk>/record/<str:slug>/compare/", RecordCompareView, "record_compare"),
            self.at("<int:pk>/record/<str:slug>/note/", RecordNoteView, "record_note"),
            self.at("<int:pk>/record/<str:slug>/redact/", RecordRedactView, "record_redact"),
            self.at("<int:pk>/record/<str:slug>/restore/", RecordRestoreView, "record_restore"),
            *super().get_urls(),
        ]


def kept_words(columns: list[TrackedColumn]) -> SafeString:
    """`12 columns`, and how many of them are masked, left out or make no version."""
    live = [each for each in columns if each.dropped_at is None]
    counts = [
        (sum(each.handling == Handling.MASKED for each in live), "masked"),
        (sum(each.handling == Handling.EXCLUDED for each in live), "left out"),
        (sum(not each.significant for each in live), "make no version"),
    ]
    told = ", ".join(f"{count} {words}" for count, words in counts if count)
    return lines(f"{len(live)} columns", told)


def _baseline_url(tracked: TrackedTable) -> str:
    """Of the run that copies the rows that were there; empty when there is none."""
    if tracked.baseline_seq is None:
        return ""
    run = run_open_for(kind=AUDIT_BASELINE, subject=str(tracked))
    return reverse("admin:operations_run_change", args=[run.pk]) if run is not None else ""


def _key(columns: list[TrackedColumn]) -> list[TrackedColumn]:
    in_key = [each for each in columns if each.key_position is not None]
    return sorted(in_key, key=lambda each: each.key_position or 0)


def _column(column: TrackedColumn) -> dict[str, str]:
    note = "names the row" if column.key_position is not None else ""
    if not column.significant and column.handling != Handling.EXCLUDED:
        note = "a change of it alone makes no version"
    if column.generated == "virtual":
        note = "computed again when it is read"
    return {
        "name": column.name,
        "type": column.type,
        "kept": column.get_handling_display(),
        "quiet": "" if column.handling == Handling.CAPTURED else "yes",
        "note": note,
    }


def _event(event: AuditEvent) -> dict[str, Any]:
    return {
        "what": event.get_kind_display(),
        "who": actor_link(event.actor),
        "at": when(event.at),
        "reason": event.reason,
        "rows": f"{number(event.rows)} rows" if event.rows else "",
    }

"""Legal holds: what they keep, who placed and released them, what they stopped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import IntegerField, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import URLPattern, reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from operations.admin.base import ReadOnlyAdmin
from operations.admin.show import STATE_COLOURS, Fact, badge, clock, lines, number, when
from operations.models import Run
from retention.admin.hold_decide import HoldReleaseView, HoldReviewView
from retention.admin.hold_place import HoldPlaceView, HoldSayView, HoldTableView
from retention.admin.hold_words import (
    hold_summary,
    is_review_due,
    review_shown,
    scope_shown,
    scopes_shown,
    state_badge,
)
from retention.models import HeldRow, LegalHold
from retention.selectors.hold_counts import HeldNow, rows_held_by
from retention.selectors.policies import PURGES
from retention.services.hold_release import hold_refusal

COUNTED = 10_000
"""Named rows up to which a list counts."""
LAST = 10


class _CountOf(Subquery):
    template = "(SELECT count(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "active"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("yes", "In force"), ("no", "Released")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LegalHold]) -> QuerySet[LegalHold]:
        if self.value() is None:
            return queryset
        return queryset.filter(released_at__isnull=self.value() == "yes")


@admin.register(LegalHold)
class LegalHoldAdmin(ReadOnlyAdmin):
    page_template = "retention/hold.html"
    page_related = ("placed_by", "released_by")
    list_before_template = "retention/hold_list_before.html"
    list_display = ("case", "holds", "named", "placed", "review", "state")
    list_select_related: ClassVar = ["placed_by", "released_by"]
    list_filter = (StateFilter,)
    search_fields = ("case_id", "reason", "scopes__table_name")
    search_help_text = "Its case, its reason, or a table"

    def get_queryset(self, request: HttpRequest) -> QuerySet[LegalHold]:
        rows = HeldRow.objects.filter(scope__hold=OuterRef("pk")).order_by().values("pk")
        found: QuerySet[LegalHold] = super().get_queryset(request)
        return found.prefetch_related("scopes").annotate(named_rows=_CountOf(rows[: COUNTED + 1]))

    @admin.display(description="Case", ordering="case_id")
    def case(self, hold: LegalHold) -> SafeString:
        reason = hold.reason if len(hold.reason) < 60 else f"{hold.reason[:60]}…"
        return lines(hold.case_id, reason)

    @admin.display(description="Holds")
    def holds(self, hold: LegalHold) -> SafeString:
        return scopes_shown(hold)

    @admin.display(description="Named rows")
    def named(self, hold: Any) -> str:
        if hold.named_rows > COUNTED:
            return f"over {COUNTED:,}"
        return number(hold.named_rows or None)

    @admin.display(description="Placed by", ordering="placed_at")
    def placed(self, hold: LegalHold) -> SafeString:
        return lines(hold.placed_by, clock(hold.placed_at))

    @admin.display(description="Review", ordering="review_on")
    def review(self, hold: LegalHold) -> SafeString | str:
        return review_shown(hold)

    @admin.display(description="State", ordering="released_at")
    def state(self, hold: LegalHold) -> SafeString:
        return state_badge(hold)

    def page(self, request: HttpRequest, obj: LegalHold) -> dict[str, Any]:
        may_place = request.user.has_perm("retention.place_legalhold")
        may_release = request.user.has_perm("retention.release_legalhold")
        refusal = hold_refusal(obj, request.user) if obj.active and may_release else ""
        return {
            "hold": obj,
            "badges": [
                state_badge(obj),
                *([badge("Review is due", "danger")] if is_review_due(obj) else []),
            ],
            "facts": [*hold_summary(obj), *_released(obj)],
            "scopes": [_scope(each) for each in rows_held_by(obj)],
            "entries": [
                (entry, when(entry.history_date))
                for entry in obj.history.select_related("history_user")[:LAST]
            ],
            "runs": [
                (run, STATE_COLOURS[run.state], _held(run, obj), when(run.created_at))
                for run in runs_affected(obj)
            ],
            "may_place": may_place and obj.active,
            "more_url": reverse("admin:retention_legalhold_table")
            + f"?{urlencode({'case': obj.case_id})}",
            "may_release": may_release and obj.active and not refusal,
            "why_not": refusal,
        }

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("table/", HoldTableView, "table"),
            self.at("place/", HoldPlaceView, "place"),
            self.at("say/", HoldSayView, "say"),
            self.at("<int:pk>/release/", HoldReleaseView, "release"),
            self.at("<int:pk>/review/", HoldReviewView, "review"),
            *super().get_urls(),
        ]


def runs_affected(hold: LegalHold) -> list[Run]:
    """The last purges that it kept rows from, or ended."""
    runs = Run.objects.filter(kind__in=PURGES, created_at__gte=hold.placed_at)
    kept = runs.filter(plan__held_by__contains=[{"hold": hold.case_id}])
    ended = Run.objects.filter(
        kind__in=PURGES,
        state="cancelled",
        finished_at__gte=hold.placed_at,
        error__contains=str(hold),
    )
    return list((kept | ended).select_related("requester").defer("parameters", "cursor")[:LAST])


def _held(run: Run, hold: LegalHold) -> str:
    if run.error:
        return "ended by it"
    rows = [each["rows"] for each in run.plan.get("held_by", []) if each["hold"] == hold.case_id]
    return number(rows[0]) if rows else "?"


def _released(hold: LegalHold) -> list[Fact]:
    if hold.active:
        return []
    return [
        Fact("Released by", str(hold.released_by)),
        Fact("Released", when(hold.released_at)),
        Fact("Why", hold.release_reason),
    ]


def _scope(each: HeldNow) -> dict[str, Any]:
    named = HeldRow.objects.filter(scope=each.scope)[: COUNTED + 1].count()
    return {
        "words": scope_shown(each.scope),
        "rows": str(each.rows),
        "named": f"over {COUNTED:,}" if named > COUNTED else number(named or None),
        "trouble": each.trouble,
        "by": str(each.scope.added_by),
        "added": when(each.scope.added_at),
    }

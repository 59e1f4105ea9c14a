"""Policies: how long rows are kept, what becomes of them, and what was done so far."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern
from django.utils.safestring import SafeString
from simple_history.admin import SimpleHistoryAdmin

from operations.admin.base import ReadOnlyAdmin
from operations.admin.show import NOTHING, ago, lines
from operations.selectors.schedules import next_start
from retention.admin.policy_edit import PROPOSE, PolicyFormView, PolicyTablesView
from retention.admin.policy_history import (
    PolicyCompareView,
    PolicyRestoreView,
    add_differences,
    version_find,
    version_page,
)
from retention.admin.policy_list import (
    StateFilter,
    due_shown,
    last_run,
    state_badge,
    with_states,
    works,
)
from retention.admin.policy_page import policy_page
from retention.admin.policy_preview import (
    DraftPreviewView,
    PolicyPreviewView,
    ProposalPreviewView,
)
from retention.admin.policy_review import PolicyReviewView
from retention.admin.policy_say import PolicySayView
from retention.admin.policy_waiting import PolicyWithdrawView
from retention.admin.policy_words import then
from retention.admin.purge_now import PurgeNowView
from retention.models import RetentionPolicy
from retention.services.purge_nightly import PURGE_NIGHTLY


@admin.register(RetentionPolicy)
class RetentionPolicyAdmin(ReadOnlyAdmin, SimpleHistoryAdmin):
    page_template = "retention/policy.html"
    object_history_template = "retention/policy_history.html"
    object_history_form_template = "retention/policy_version.html"
    list_display = ("name_shown", "state", "kept", "then", "due", "last_run")
    list_filter = (StateFilter, "schema_name", "owner")
    search_fields = ("name", "schema_name", "table_name", "owner")
    search_help_text = "Its name, its table, or who answers for it"

    def get_queryset(self, request: HttpRequest) -> QuerySet[RetentionPolicy]:
        return with_states(super().get_queryset(request))

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        # Every policy that works runs then: asked once for the whole list.
        night = next_start(PURGE_NIGHTLY)
        upcoming = ago(night).replace(" ", "\xa0") if night is not None else NOTHING

        @admin.display(description="Next run")
        def next_run(policy: RetentionPolicy) -> str:
            return upcoming if works(policy) else NOTHING

        return (*self.list_display, next_run)

    @admin.display(description="Policy", ordering="name")
    def name_shown(self, policy: RetentionPolicy) -> SafeString:
        return lines(policy.name, policy.table)

    @admin.display(description="State")
    def state(self, policy: RetentionPolicy) -> SafeString:
        return state_badge(policy)

    @admin.display(description="Kept", ordering="keep_hours")
    def kept(self, policy: RetentionPolicy) -> str:
        return policy.term.replace(" ", "\xa0")

    @admin.display(description="Then")
    def then(self, policy: RetentionPolicy) -> str:
        return then(policy) or NOTHING

    @admin.display(description="Due")
    def due(self, policy: RetentionPolicy) -> SafeString | str:
        return due_shown(policy)

    @admin.display(description="Last run")
    def last_run(self, policy: RetentionPolicy) -> SafeString | str:
        return last_run(policy)

    def page(self, request: HttpRequest, obj: RetentionPolicy) -> dict[str, Any]:
        return policy_page(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(PROPOSE)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        view = PolicyFormView if request.GET.keys() & {"table", "draft"} else PolicyTablesView
        answer: HttpResponseBase = view.as_view(model_admin=self)(request)
        return answer

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("<int:pk>/preview/", PolicyPreviewView, "preview"),
            self.at("preview-of-run/<int:run_id>/", ProposalPreviewView, "preview_run"),
            self.at("review/<slug:token>/preview/", DraftPreviewView, "preview_draft"),
            self.at("<int:pk>/run/", PurgeNowView, "run"),
            self.at("<int:pk>/propose/", PolicyFormView, "propose"),
            self.at("<int:pk>/withdraw/", PolicyWithdrawView, "withdraw"),
            self.at("<int:pk>/compare/", PolicyCompareView, "compare"),
            self.at("<int:pk>/history/<int:version>/restore/", PolicyRestoreView, "restore"),
            self.at("review/<slug:token>/", PolicyReviewView, "review"),
            self.at("say/", PolicySayView, "say"),
            *super().get_urls(),
        ]

    # History: what each version said.

    def set_history_delta_changes(self, request: HttpRequest, records: Any, **_: Any) -> None:
        add_differences(list(records))

    def history_form_view(
        self,
        request: HttpRequest,
        object_id: str,
        version_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        # simple-history saves what is posted here, also by people who may only look.
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        if not self.has_view_permission(request):
            raise PermissionDenied
        record = version_find(object_id, version_id)
        return self.render_page(
            request,
            record.instance,
            self.object_history_form_template,
            version_page(request, record),
        )

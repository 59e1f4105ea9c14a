"""Policies: how long rows are kept, what becomes of them, and what was done so far."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.dateparse import parse_datetime
from django.utils.safestring import SafeString
from simple_history.admin import SimpleHistoryAdmin

from operations.admin.base import ReadOnlyAdmin
from operations.admin.show import (
    NOTHING,
    STATE_COLOURS,
    ago,
    badge,
    code,
    lines,
    when,
)
from operations.models import Run
from operations.runs.states import RunState
from retention.admin.hold_facts import hold_facts
from retention.admin.policy_history import (
    PolicyCompareView,
    add_differences,
    version_find,
    version_page,
)
from retention.admin.policy_words import disposition, facts, sentence
from retention.admin.purge_now import PurgeNowView
from retention.models import Archive, RetentionPolicy
from retention.presenting import keep_text

LAST = 10
"""Runs and archives that the page of a policy shows."""


@admin.register(RetentionPolicy)
class RetentionPolicyAdmin(ReadOnlyAdmin, SimpleHistoryAdmin):
    page_template = "retention/policy.html"
    object_history_template = "retention/policy_history.html"
    object_history_form_template = "retention/policy_version.html"
    list_display = ("name_shown", "kept", "then", "condition", "last_run")
    list_filter = ("enabled", "archive_first", "soft_delete")
    search_fields = ("name", "schema_name", "table_name")
    search_help_text = "Its name, or its table"

    def get_queryset(self, request: HttpRequest) -> QuerySet[RetentionPolicy]:
        last = (
            Run.objects.filter(kind="purge", subject=OuterRef("name"))
            .order_by("-id")
            .values(facts=JSONObject(id="id", state="state", at="created_at"))[:1]
        )
        found: QuerySet[RetentionPolicy] = super().get_queryset(request)
        return found.annotate(last_run_facts=Subquery(last))

    @admin.display(description="Policy", ordering="name")
    def name_shown(self, policy: RetentionPolicy) -> SafeString:
        return lines(policy.name, policy.table)

    @admin.display(description="Kept", ordering="keep_hours")
    def kept(self, policy: RetentionPolicy) -> str:
        return policy.term.replace(" ", "\xa0")

    @admin.display(description="Then")
    def then(self, policy: RetentionPolicy) -> SafeString | str:
        if not policy.enabled:
            return badge("Off")
        if policy.soft_delete:
            return badge("Waits: soft deletion", "warning")
        return NOTHING if policy.keeps_for_ever else disposition(policy)

    @admin.display(description="Unless")
    def condition(self, policy: RetentionPolicy) -> SafeString | str:
        return code(keep_text(policy))

    @admin.display(description="Last run")
    def last_run(self, policy: Any) -> SafeString | str:
        facts = policy.last_run_facts
        if not facts:
            return "never"
        state = RunState(facts["state"])
        at = parse_datetime(facts["at"])
        return lines(badge(state.label, STATE_COLOURS[state]), ago(at) if at else "")

    def page(self, request: HttpRequest, obj: RetentionPolicy) -> dict[str, Any]:
        return {
            "policy": obj,
            "badges": [badge("Enabled", "success") if obj.enabled else badge("Off")],
            "sentence": sentence(obj),
            "facts": [
                *facts(obj),
                *hold_facts(obj.table, request.user, using=obj.database),
            ],
            "may_run": request.user.has_perm("operations.control_run"),
            "can_run": obj.enabled and not obj.soft_delete and not obj.keeps_for_ever,
            "runs": [
                (run, STATE_COLOURS[run.state], when(run.created_at))
                for run in Run.objects.filter(kind="purge", subject=obj.name)
                .select_related("requester")
                .defer("parameters", "plan", "cursor", "result")[:LAST]
            ],
            "archives": [
                (archive, when(archive.expires_at, empty="for ever"))
                for archive in Archive.objects.filter(policy=obj).defer("layout")[:LAST]
            ],
        }

    def get_urls(self) -> list[URLPattern]:
        def page(route: str, view: type[Any], name: str) -> URLPattern:
            protected = self.admin_site.admin_view(view.as_view(model_admin=self))
            made: URLPattern = path(route, protected, name=f"retention_retentionpolicy_{name}")
            return made

        return [
            page("<int:pk>/run/", PurgeNowView, "run"),
            page("<int:pk>/compare/", PolicyCompareView, "compare"),
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

"""The audit log: one line a statement, newest first; and everything that one person changed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.http import urlencode
from django.views.generic import TemplateView
from unfold.views import UnfoldModelAdminViewMixin

from auditing.admin.log_form import LogForm
from auditing.admin.revert import RevertView, TransactionRevertView
from auditing.admin.statement import statement_page
from auditing.admin.words import (
    actor_kind,
    actor_name,
    columns_words,
    operation_colour,
    rows_words,
    what,
    who,
    why,
)
from auditing.models import ChangeStatement, Operation
from auditing.selectors.actor_recent import DAYS, actor_recent
from auditing.selectors.log_filter import LogFilter
from auditing.selectors.log_page import LogPage, Place, log_page
from auditing.services.statement_summarise import statement_summarise
from operations.admin.base import ReadOnlyAdmin
from operations.admin.show import ago, clock, lines, number, when

LINES_A_PAGE = 50


@admin.register(ChangeStatement)
class ChangeStatementAdmin(ReadOnlyAdmin):
    page_template = "auditing/statement.html"
    page_related = ("tracked", "context", "event")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = LogForm(request.GET)
        before = Place.read(request.GET.get("before", ""))
        page = (
            log_page(form.asked(), before=before, size=LINES_A_PAGE)
            if form.is_valid()
            else LogPage([], None)
        )
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            "auditing/log.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": "Audit log",
                "form": form,
                "before": before,
                "newest_query": form.again(),
                **log_lines(page, older=form.again(before=str(page.older))),
                **(extra_context or {}),
            },
        )

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> ChangeStatement | None:
        found: ChangeStatement | None = super().get_object(request, object_id, from_field)
        if found is None and object_id.isdecimal():
            # Its summary may be a few seconds late.
            statement_summarise(within=2)
            found = super().get_object(request, object_id, from_field)
        return found

    def page(self, request: HttpRequest, obj: ChangeStatement) -> dict[str, Any]:
        return statement_page(obj, request.user, after=request.GET.get("after", ""))

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("actor/", ActorView, "actor"),
            self.at("<int:pk>/revert/", RevertView, "revert"),
            self.at("transaction/<int:xid>/revert/", TransactionRevertView, "revert_transaction"),
            *super().get_urls(),
        ]


class ActorView(UnfoldModelAdminViewMixin, TemplateView):
    """What somebody changed, whoever they are: a person of the console, a user, a role."""

    template_name = "auditing/actor.html"
    raise_exception = True
    model_admin: ChangeStatementAdmin

    def has_permission(self) -> bool:
        return bool(self.model_admin.has_view_permission(self.request))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        actor = self.request.GET.get("actor", "").replace("\0", "")
        if not actor:
            raise Http404("Say who: ?actor=console:anna")
        before = Place.read(self.request.GET.get("before", ""))
        page = log_page(LogFilter(actor=actor), before=before, size=LINES_A_PAGE)
        recent = actor_recent(actor)
        self.title = actor_name(actor)
        context = super().get_context_data(
            **kwargs,
            opts=self.model_admin.opts,
            original=self.title,
            actor=actor,
            kind=actor_kind(actor),
            before=before,
            days=DAYS,
            recent=[
                (
                    table,
                    lines(rows_words(each.rows), _statements(each.statements)),
                    ago(each.last_at),
                )
                for table, each in recent.tables.items()
            ],
            recent_since=clock(recent.since) if recent.since is not None else "",
        )
        older = urlencode({"actor": actor, "before": str(page.older)})
        return {**context, **log_lines(page, older=older)}


def _statements(count: int) -> str:
    return f"{number(count)} statement{'' if count == 1 else 's'}"


def log_lines(page: LogPage, *, older: str) -> dict[str, Any]:
    """What `auditing/log_lines.html` shows; `older` is the query of the next page."""
    return {
        "lines": [_line(statement) for statement in page.statements],
        "older": older if page.older is not None else "",
        "looked_back_to": clock(page.looked_back_to) if page.looked_back_to is not None else "",
    }


def _line(statement: ChangeStatement) -> dict[str, Any]:
    changed = columns_words(statement.changed) if statement.operation == Operation.UPDATE else ""
    return {
        "number": statement.pk,
        "url": reverse("admin:auditing_changestatement_change", args=[statement.pk]),
        "at": when(statement.at),
        "who": who(statement.actor, statement.context),
        "what": what(statement),
        "colour": operation_colour(statement),
        "columns": changed,
        "why": why(statement),
    }

"""The bin: what was deleted and can be brought back, newest first, found by what one remembers."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern

from operations.admin.base import ReadOnlyAdmin
from operations.admin.show import clock, lines, number, when
from operations.catalogue.read import tables_by_oid
from retention.admin.deletion_delete import RecordDeleteView
from retention.admin.deletion_facts import (
    deletion_facts,
    part_lines,
    refused_lines,
    severed_lines,
    severed_page,
    tree_lines,
)
from retention.admin.deletion_form import DeletionForm
from retention.admin.deletion_purge_now import DeletionPurgeView
from retention.admin.deletion_restore import DeletionRestoreView
from retention.admin.deletion_rows import row_sections
from retention.admin.deletion_words import (
    PURGE,
    RESTORE,
    deletion_url,
    details_of,
    fate_words,
    key_words,
    may_see_values,
    records_words,
    state_badge,
    title_of,
    tracked_tables,
    who_shown,
    whole_number,
)
from retention.models import Deletion
from retention.selectors.deletion_page import deletions_page
from retention.selectors.deletion_roots import deletion_roots, rows_taken
from retention.selectors.deletion_search import Found, Hit, deletion_search
from retention.selectors.deletions import deletion_tables
from retention.selectors.remembered import Remembered
from retention.selectors.severed import severed_counts_soon

LINES_A_PAGE = 50


@admin.register(Deletion)
class DeletionAdmin(ReadOnlyAdmin):
    page_template = "retention/deletion.html"
    page_related = ("split_from", "run")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """A search is posted, so that nobody's mail address stands in an address or its log."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        given = request.POST if request.method == "POST" else request.GET
        sees = may_see_values(request.user)
        form = DeletionForm(given, sees_values=sees)
        before = whole_number(given.get("before", "")) or None
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            "retention/deletions.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": "Bin",
                "form": form,
                "sees_values": sees,
                "before": before,
                "newest_query": form.again(),
                "hidden": form.given,
                **self._found(form, before, sees_values=sees),
                **(extra_context or {}),
            },
        )

    def page(self, request: HttpRequest, obj: Deletion) -> dict[str, Any]:
        masks = not may_see_values(request.user)
        rows = deletion_tables(obj)
        severed, severed_after = severed_page(
            obj, after=whole_number(request.GET.get("severed", ""))
        )
        oids = {each.table_oid for each in rows} | {each.table_oid for each in severed}
        tables = tables_by_oid(oids | {obj.table_oid}, using=obj.database)
        names = {str(each.table): each.table for each in rows}
        tracked = tracked_tables([each.name for each in tables.values()], request.user)
        root = deletion_roots([obj]).get(obj.pk, [])
        return {
            "deletion": obj,
            "title": title_of(obj, root, masks=masks),
            "details": details_of(root, masks=masks),
            "badges": [state_badge(obj)],
            "facts": deletion_facts(obj, tables, request.user),
            "tree": tree_lines(obj, rows),
            "total": records_words(sum(each.deleted for each in rows)),
            "sections": row_sections(
                obj,
                rows,
                tables,
                tracked,
                only=whole_number(request.GET.get("table", "")) or None,
                after=request.GET.get("after", ""),
                masks=masks,
            ),
            "only": request.GET.get("table", ""),
            "severed": severed_lines(severed, obj, tables, tracked, masks=masks),
            "severed_after": severed_after,
            "severed_counts": severed_counts_soon(obj, using=obj.database) if severed else (),
            "refused": refused_lines(obj, names, tracked, masks=masks),
            "parts": part_lines(obj),
            "may_purge": obj.state == Deletion.State.DELETED and request.user.has_perm(PURGE),
            "may_restore": obj.state == Deletion.State.DELETED and request.user.has_perm(RESTORE),
        }

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("<int:pk>/restore/", DeletionRestoreView, "restore"),
            self.at("<int:pk>/purge/", DeletionPurgeView, "purge"),
            self.at("record/<int:table>/<str:slug>/", RecordDeleteView, "record"),
            *super().get_urls(),
        ]

    def _found(
        self, form: DeletionForm, before: int | None, *, sees_values: bool
    ) -> dict[str, Any]:
        if not form.is_valid():
            return {"lines": []}
        remembered = Remembered.read(form.cleaned_data["q"])
        if remembered is None:
            page = deletions_page(form.asked(), before=before, size=LINES_A_PAGE)
            found = Found(page.deletions, page.older, looked_back_to=page.looked_back_to)
        else:
            found = deletion_search(
                remembered, form.asked(), rows=sees_values, before=before, size=LINES_A_PAGE
            )
        back_to = found.looked_back_to
        return {
            "lines": _lines(found, masks=not sees_values),
            "searched": remembered is not None,
            "older": found.older,
            "older_query": form.again(before=str(found.older)),
            "looked_back_to": clock(back_to) if back_to is not None else "",
            "unfinished": [str(name) for name in found.unfinished],
        }


def _lines(found: Found, *, masks: bool) -> list[dict[str, Any]]:
    roots = deletion_roots(found.deletions)
    taken = rows_taken(found.deletions)
    return [
        {
            "deletion": each,
            "url": deletion_url(each),
            "what": title_of(each, roots.get(each.pk, []), masks=masks),
            "details": details_of(roots.get(each.pk, []), masks=masks),
            "hit": _hit(each, found.hits.get(each.pk)),
            "along": number(max(taken.get(each.pk, 0) - each.roots, 0)),
            "at": when(each.deleted_at),
            "who": who_shown(each.actor),
            "state": lines(state_badge(each), fate_words(each)),
        }
        for each in found.deletions
    ]


def _hit(deletion: Deletion, hit: Hit | None) -> str:
    """Which row was found, where that is not the record that it began with."""
    if hit is None or hit.table is None or hit.record_id == deletion.record_id:
        return ""
    return f"found in {hit.table} {key_words(hit.record_id)}".strip()

"""The rows of an archive in the admin.

Who may search archives writes a condition and sees the values. Who may only look at the archive
sees its rows without any condition, and with what looks personal masked: a condition tells of a
value whether it is there, masked or not.
"""

from __future__ import annotations

import json
import re
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.generic import FormView
from unfold.views import UnfoldModelAdminViewMixin
from unfold.widgets import UnfoldAdminTextareaWidget

from operations.exceptions import CustodyError
from operations.masking import is_document, masked
from retention.models import Archive
from retention.selectors.archived_columns import ArchivedColumn, archived_columns
from retention.services.archive_page import RowsPage, archive_page
from retention.services.archive_search import FoundRow

SEARCH = "retention.search_archive"
ROWS_A_PAGE = 50
SECONDS = 6.0
_LONGEST = 2_000
_AFTER = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")


class SearchForm(forms.Form):
    where = forms.CharField(
        label="Rows for which this holds",
        required=False,
        max_length=5_000,
        widget=UnfoldAdminTextareaWidget(
            {"rows": 2, "spellcheck": "false", "placeholder": "email = 'ada@example.org'"}
        ),
        help_text="As SQL, on the columns as they were archived. Nothing: all rows.",
    )
    after = forms.CharField(required=False, widget=forms.HiddenInput)


class ArchiveSearchView(UnfoldModelAdminViewMixin, FormView):
    """A condition is posted, so that no value of anybody's stands in an address or its log."""

    form_class = SearchForm
    template_name = "retention/archive_search.html"
    raise_exception = True
    title = "Rows of an archive"

    def has_permission(self) -> bool:
        return bool(self.model_admin.has_view_permission(self.request))

    @property
    def may_search(self) -> bool:
        return bool(self.request.user.has_perm(SEARCH))

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not self.has_permission():
            raise PermissionDenied
        archives = Archive.objects.select_related("policy", "run")
        archive = archives.filter(pk=kwargs["pk"]).first()
        if archive is None or (request.method == "POST" and not self.may_search):
            raise PermissionDenied
        self.archive: Archive = archive
        return super().dispatch(request, *args, **kwargs)

    def get_initial(self) -> dict[str, Any]:
        return {"after": self.request.GET.get("after", "")}

    def form_valid(self, form: forms.Form) -> HttpResponse:
        given = form.cleaned_data
        return self.render_to_response(
            self.get_context_data(form=form, where=given["where"], after=given["after"])
        )

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        archive = self.archive
        where = kwargs.pop("where", "")
        after = kwargs.pop("after", self.request.GET.get("after", ""))
        self.title = f"Rows of {archive.name}"
        context = super().get_context_data(**kwargs)
        context |= {
            "opts": self.model_admin.opts,
            "original": archive,
            "archive": archive,
            "may_search": self.may_search,
            "may_restore": self.may_search
            and archive.state == Archive.State.COMPLETE
            and self.request.user.has_perm("retention.restore_archive"),
            "where": where,
            "back": reverse("admin:retention_archive_change", args=[archive.pk]),
        }
        try:
            page = archive_page(
                archive=archive,
                where=where,
                after=_place(after),
                most=ROWS_A_PAGE,
                seconds=SECONDS,
            )
        except CustodyError as error:
            return context | {"problem": str(error), "rows": [], "names": []}
        self._log(page, where)
        columns = archived_columns(archive.layout, using=archive.run.database)
        return context | self._shown(page, columns)

    def _shown(self, page: RowsPage, columns: tuple[ArchivedColumn, ...]) -> dict[str, Any]:
        key = set(self.archive.layout["key"])
        return {
            "names": [each.name for each in columns],
            "rows": [
                (row.place, [self._cell(row, each, each.name in key) for each in columns])
                for row in page.rows
            ],
            "next": f"{page.after[0]}:{page.after[1]}" if page.after is not None else "",
            "passed": page.passed,
        }

    def _cell(self, row: FoundRow, each: ArchivedColumn, in_key: bool) -> str | None:
        text = row.texts[each.place]
        if text is None:
            return None
        if not self.may_search:
            if is_document(each.column):
                text = json.dumps(json.loads(row.values)[each.name])
            text = masked(text, each.column, key=in_key) or ""
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"

    def _log(self, page: RowsPage, where: str) -> None:
        """Who looked, and by a condition on what; never the value that was looked for."""
        if not page.rows or not isinstance(self.request.user, User):
            return
        named = [each["name"] for each in self.archive.layout["columns"] if each["name"] in where]
        by = f", found by {', '.join(named)}" if named else ""
        seen = "Rows were looked at" if self.may_search else "Rows were looked at, masked"
        self.model_admin.log_change(self.request, self.archive, f"{seen}: {len(page.rows)}{by}.")


def _place(text: str) -> tuple[int, int]:
    found = _AFTER.fullmatch(text or "")
    return (int(found[1]), int(found[2])) if found else (0, 0)

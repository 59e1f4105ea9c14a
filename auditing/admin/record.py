"""The record page: its versions, what it is now, what it was at a moment, two versions compared."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.views.generic import TemplateView
from unfold.views import UnfoldModelAdminViewMixin

from auditing.admin.log_form import MomentInput
from auditing.admin.own import may_put_back, may_see_rows
from auditing.admin.record_links import record_id_of, record_url
from auditing.admin.record_more import record_more
from auditing.admin.record_words import (
    IN_A_LIST,
    did,
    difference_lines,
    is_listed,
    other_record,
    value_lines,
    version_name,
)
from auditing.admin.words import who
from auditing.models import Operation, TrackedTable
from auditing.selectors.images import Shape, shape_of
from auditing.selectors.versions import (
    Version,
    masked_between,
    version_at,
    version_by_seq,
    version_difference,
    versions_of,
)
from operations.admin.show import badge, clock, when
from operations.exceptions import CustodyError

VERSIONS_A_PAGE = 20
RESTORE = "auditing.restore_version"
ANNOTATE = "auditing.annotate_version"
REDACT = "auditing.redact_value"
EXPORT = "auditing.export_evidence"
_DIGITS = 18


class RecordView(UnfoldModelAdminViewMixin, TemplateView):
    """Subclasses show more of the record that the address names."""

    template_name = "auditing/record.html"
    raise_exception = True
    tracked: TrackedTable
    record_id: str
    shape: Shape

    def has_permission(self) -> bool:
        return bool(self.model_admin.has_view_permission(self.request))

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.has_permission():
            raise PermissionDenied
        found = TrackedTable.objects.filter(pk=kwargs["pk"]).first()
        if found is None:
            raise Http404("No such table is audited.")
        if not may_see_rows(request.user, found):
            raise PermissionDenied
        self.tracked = found
        self.record_id = record_id_of(kwargs["slug"])
        self.shape = shape_of(found)
        try:
            answer: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        except CustodyError as error:
            messages.error(request, str(error))
            page = "admin:auditing_trackedtable_change"
            return HttpResponseRedirect(reverse(page, args=[found.pk]))
        return answer

    def by_seq(self, seq: str | None) -> Version | None:
        """The version that a parameter names; None for no parameter or nonsense."""
        if not seq or not seq.isdecimal() or len(seq) > _DIGITS:
            return None
        return version_by_seq(self.tracked, self.record_id, int(seq), shape=self.shape)

    def frame(self, title: str) -> dict[str, Any]:
        self.title = title
        return {
            "opts": self.model_admin.opts,
            "original": title,
            "tracked": self.tracked,
            "record_id": self.record_id,
            "record_url": record_url(self.tracked, self.record_id),
            "may_restore": may_put_back(self.request.user, self.tracked),
            "may_annotate": self.request.user.has_perm(ANNOTATE),
            "redact_url": record_url(self.tracked, self.record_id, "record_redact")
            if self.request.user.has_perm(REDACT)
            else "",
            "evidence_url": self._evidence_url() if self.request.user.has_perm(EXPORT) else "",
        }

    def _evidence_url(self) -> str:
        page = reverse("admin:auditing_sealblock_evidence")
        return f"{page}?{urlencode({'table': str(self.tracked), 'record': self.record_id})}"


class RecordPageView(RecordView):
    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        before = self.request.GET.get("before", "")
        page = versions_of(
            self.tracked,
            self.record_id,
            before=int(before) if before.isdecimal() and len(before) <= _DIGITS else None,
            # One more than is shown: the version before the last is what that is compared with.
            limit=VERSIONS_A_PAGE + 1,
            shape=self.shape,
        )
        if page.record_id != self.record_id:
            self.record_id = page.record_id
        versions = page.versions[:VERSIONS_A_PAGE]
        newest = versions[0] if versions else None
        shown, told = self._shown(newest if not before else None)
        more = record_more(self.request, self.tracked, self.record_id)
        context = super().get_context_data(
            **kwargs, **self.frame(f"{self.tracked} {self.record_id}")
        )
        return {
            **context,
            "badges": (more.badges or self._badges(newest)) if not before else [],
            "more_buttons": more.buttons,
            "total": page.total,
            "versions": [
                self._line(version, older, is_now=version is newest and not before)
                for version, older in zip(versions, [*page.versions[1:], None], strict=False)
            ],
            "next_before": versions[-1].seq if len(page.versions) > VERSIONS_A_PAGE else None,
            "before": before,
            "moment_form": MomentForm(self.request.GET if "at" in self.request.GET else None),
            "shown": shown,
            "shown_title": told,
            "shown_values": value_lines(self.shape, shown) if shown is not None else [],
            "shown_restore": self._restore_url(shown, newest) if shown is not None else "",
        }

    def _badges(self, newest: Version | None) -> list[SafeString]:
        if newest is None:
            return [badge("Nothing is recorded")]
        if newest.exists:
            return [badge("In the table", "success")]
        return [badge("Has another key now" if newest.now is not None else "Deleted", "danger")]

    def _shown(self, newest: Version | None) -> tuple[Version | None, str]:
        """The version whose values stand beside the list, and what to say of it."""
        chosen = self.by_seq(self.request.GET.get("version"))
        if chosen is not None:
            return chosen, version_name(chosen)
        form = MomentForm(self.request.GET)
        if "at" in self.request.GET and form.is_valid():
            moment: datetime = form.cleaned_data["at"]
            found = version_at(self.tracked, self.record_id, moment, shape=self.shape)
            if found is None:
                return None, f"On {clock(moment)} it was not recorded yet"
            if not found.exists:
                return found, f"On {clock(moment)} it was not there: {version_name(found)}"
            return found, f"On {clock(moment)}: {version_name(found)}"
        if newest is None:
            return None, ""
        return newest, "As it is now" if newest.exists else "As it was last"

    def _restore_url(self, shown: Version, newest: Version | None) -> str:
        if newest is not None and shown.seq == newest.seq and newest.exists:
            return ""
        return f"{record_url(self.tracked, self.record_id, 'record_restore')}?version={shown.seq}"

    def _line(self, version: Version, older: Version | None, *, is_now: bool) -> dict[str, Any]:
        differences = []
        if older is not None and older.exists and version.exists:
            hidden = [attnum for attnum in version.changed if self._is_masked(attnum)]
            found = version_difference(self.shape, older, version, masked=hidden)
            differences = difference_lines(self.shape, found, most=IN_A_LIST)
        context = version.context
        return {
            "version": version,
            "name": version_name(version),
            "did": did(version),
            "other": other_record(self.tracked.pk, version),
            "who": who(version.actor, context),
            "at": when(version.at),
            "why": context.reason if context is not None else "",
            "comment": version.note.comment if version.note is not None else "",
            "differences": differences,
            "noted": version.note is not None,
            "is_now": is_now and version.exists,
            "look": f"?version={version.seq}",
            # What was found or carried forward is no statement of anybody's.
            "statement": ""
            if version.operation in (Operation.BASELINE, Operation.CARRIED)
            else reverse("admin:auditing_changestatement_change", args=[version.statement]),
            "restore": f"{record_url(self.tracked, self.record_id, 'record_restore')}"
            f"?version={version.seq}",
            "note": f"{record_url(self.tracked, self.record_id, 'record_note')}"
            f"?version={version.seq}",
        }

    def _is_masked(self, attnum: int) -> bool:
        column = self.shape.column(attnum)
        return column is not None and column.masked


class MomentForm(forms.Form):
    at = forms.DateTimeField(label="As it was on", widget=MomentInput)


class RecordCompareView(RecordView):
    """`?old=SEQ&new=SEQ`: side by side, the older one on the left."""

    template_name = "auditing/compare.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        chosen = [self.by_seq(self.request.GET.get(name)) for name in ("old", "new")]
        found = [version for version in chosen if version is not None]
        if len(found) < 2:
            raise Http404("Choose two versions: ?old=...&new=...")
        old, new = sorted(found, key=lambda version: version.seq)
        hidden = masked_between(self.shape, old, new)
        differences = version_difference(self.shape, old, new, masked=hidden)
        differing = {each.attnum for each in differences}
        alike = [
            (column.name, line.shown)
            for column, line in zip(
                [c for c in self.shape.columns if is_listed(c, new)],
                value_lines(self.shape, new),
                strict=True,
            )
            if column.attnum not in differing
        ]
        return super().get_context_data(
            **kwargs,
            **self.frame(f"{self.tracked} {self.record_id}"),
            old=version_name(old),
            new=version_name(new),
            heads=[self._head(old), self._head(new)],
            lines=difference_lines(self.shape, differences),
            alike=alike,
        )

    def _head(self, version: Version) -> dict[str, Any]:
        reason = version.context.reason if version.context is not None else ""
        return {
            "name": version_name(version),
            "did": did(version),
            "who": who(version.actor, version.context),
            "at": when(version.at),
            "why": reason,
            "restore": f"{record_url(self.tracked, self.record_id, 'record_restore')}"
            f"?version={version.seq}",
        }

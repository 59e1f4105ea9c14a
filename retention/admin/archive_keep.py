"""Keeping an archive for longer than its policy said."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any

from django import forms
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSingleDateWidget

from operations.admin.confirm import ConfirmView, ReasonForm
from operations.admin.show import Fact, number, when
from retention.models import Archive
from retention.services.archive_keep import archive_keep, archive_kept_longer

KEEP = "retention.keep_archive"


class KeepForm(ReasonForm):
    until = forms.DateField(
        label="Keep until the end of",
        required=False,
        widget=UnfoldAdminSingleDateWidget,
        help_text="A day after its term now. Nothing: for ever.",
    )
    field_order = ("until", "reason")


class ArchiveKeepView(ConfirmView):
    form_class = KeepForm
    button = "Keep it longer"
    consequence = (
        "Its term gets longer, and so does that of the archives of what went along with its rows. "
        "A term is never shortened."
    )

    def has_permission(self) -> bool:
        return self.model_admin.has_view_permission(self.request) and self.request.user.has_perm(
            KEEP
        )

    def find(self) -> Archive | None:
        return Archive.objects.filter(pk=self.kwargs["pk"]).first()

    def not_now(self) -> str:
        archive_kept_longer(archive=self.object, until=None)
        return ""

    def act(self, reason: str) -> str:
        form = self.get_form()
        day = form.cleaned_data["until"] if form.is_valid() else None
        zone = timezone.get_default_timezone()
        until = datetime.combine(day, time.max, zone) if day is not None else None
        kept = archive_keep(archive=self.object, until=until, actor=self.person, reason=reason)
        return f"Kept {f'until {day:%-d %b %Y}' if day else 'for ever'}: {_names(kept)}."

    def back(self) -> str:
        return reverse("admin:retention_archive_change", args=[self.kwargs["pk"]])

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        archive: Archive = self.object
        self.title = f"Keep {archive.name} longer"
        return super().get_context_data(
            **kwargs,
            question=f"Keep {archive.name} longer?",
            facts=[
                Fact("Kept until", when(archive.expires_at, empty="for ever")),
                Fact("Rows", number(archive.rows)),
                Fact("What went along", number(archive.dependents.count()), "archives"),
            ],
            hidden={},
        )


def _names(archives: list[Archive]) -> str:
    return ", ".join(archive.name for archive in archives)

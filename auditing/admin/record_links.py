"""The address of a record: its table's number and its record id, which may hold any characters."""

from __future__ import annotations

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from auditing.models import TrackedTable
from auditing.record_slugs import record_id_of, slug_of

__all__ = ["record_id_of", "record_link", "record_url", "slug_of"]


def record_url(tracked: TrackedTable | int, record_id: str, page: str = "record") -> str:
    """The record's page, or another about it: record_compare, record_restore, record_note."""
    number = tracked if isinstance(tracked, int) else tracked.pk
    return reverse(f"admin:auditing_trackedtable_{page}", args=[number, slug_of(record_id)])


def record_link(tracked: TrackedTable | int, record_id: str) -> SafeString:
    return format_html(
        '<a href="{}"><code>{}</code></a>', record_url(tracked, record_id), record_id or "(empty)"
    )

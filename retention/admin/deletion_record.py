"""The bin on a record's page: that the record lies in it, or the button that deletes it."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import reverse

from auditing.admin.record_links import slug_of
from auditing.admin.record_more import Button, RecordMore
from auditing.models import TrackedTable
from operations.admin.show import badge
from operations.catalogue.read import tables_by_oid
from operations.catalogue.types import TableName
from retention.admin.deletion_words import DELETE, deletion_url
from retention.selectors.row_read import row_standing
from retention.selectors.softdelete import softdelete_table_of


def bin_of_record(request: HttpRequest, tracked: TrackedTable, record_id: str) -> RecordMore:
    """Nothing for a table without soft delete, and for a record that is not there."""
    name = TableName(tracked.schema_name, tracked.table_name)
    entry = softdelete_table_of(name, using=tracked.database)
    if entry is None:
        return RecordMore()
    table = tables_by_oid([entry.table_oid], using=tracked.database).get(entry.table_oid)
    found = row_standing(table, record_id, using=tracked.database) if table is not None else None
    if found is None:
        return RecordMore()
    if found.deleted_at is None:
        may = request.user.has_perm(DELETE) and request.user.has_perm("retention.view_deletion")
        return RecordMore(buttons=(_delete(entry.table_oid, record_id),) if may else ())
    shown = (badge("In the bin", "info"),)
    if found.deletion_id is None or not request.user.has_perm("retention.view_deletion"):
        return RecordMore(shown)
    page = deletion_url(found.deletion_id)
    return RecordMore(shown, (Button("Its deletion", page, "restore_from_trash", "primary"),))


def _delete(table: int, record_id: str) -> Button:
    page = reverse("admin:retention_deletion_record", args=[table, slug_of(record_id)])
    return Button("Delete", page, "delete", "danger")

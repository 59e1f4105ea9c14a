"""Deleting one record into the bin: what goes along, is set to NULL or refuses, then yes."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from auditing.admin.record_links import record_id_of, record_url
from auditing.models import TrackedTable
from operations.admin.confirm import ConfirmView
from operations.admin.show import Fact, code, number
from operations.catalogue.read import tables_by_oid
from operations.catalogue.types import Table
from retention.admin.deletion_facts import level_shown
from retention.admin.deletion_words import (
    DELETE,
    deletion_url,
    key_words,
    may_see_values,
    records_words,
)
from retention.admin.softdelete_words import grace_words
from retention.models import SoftDeleteTable
from retention.selectors.row_read import row_read
from retention.selectors.softdelete import softdelete_tables
from retention.services.record_delete import Deleted, record_delete


class RecordDeleteView(ConfirmView):
    """The record is named by its table's number and its key, written as records' pages write it."""

    template_name = "retention/record_delete.html"
    button = "Delete"
    variant = "danger"
    done: Deleted | None = None
    table: Table

    def has_permission(self) -> bool:
        return bool(
            self.model_admin.has_view_permission(self.request)
            and self.request.user.has_perm(DELETE)
        )

    def find(self) -> SoftDeleteTable | None:
        entry = softdelete_tables().filter(table_oid=self.kwargs["table"]).first()
        if entry is None:
            return None
        found = tables_by_oid([entry.table_oid], using=entry.database).get(entry.table_oid)
        if found is None:
            return None
        self.table = found
        self.record_id = record_id_of(self.kwargs["slug"])
        return entry

    def not_now(self) -> str:
        # Tried each time: more may go along by the time they confirm.
        self.preview = record_delete(
            table=self.table.name, record_id=self.record_id, actor=self.person, dry_run=True
        )
        return ""

    def act(self, reason: str) -> str:
        self.done = record_delete(
            table=self.table.name, record_id=self.record_id, actor=self.person, reason=reason
        )
        entry: SoftDeleteTable = self.object
        if self.done.deletion is not None:
            said = f"{self.table.name} {self.record_id} with {self.done.rows:,} records in all."
            self.model_admin.log_addition(
                self.request, self.done.deletion, f"{said} Reason: {reason}"
            )
        rows = records_words(self.done.rows)
        verb = "is" if self.done.rows == 1 else "are"
        return f"{rows} {verb} in the bin. For {grace_words(entry)} all of it can be restored here."

    def back(self) -> str:
        if self.done is not None and self.done.deletion is not None:
            return deletion_url(self.done.deletion)
        tracked = TrackedTable.objects.filter(
            schema_name=self.table.name.schema, table_name=self.table.name.name
        ).first()
        if tracked is not None and self.request.user.has_perm("auditing.view_trackedtable"):
            return record_url(tracked, self.record_id)
        if self.request.user.has_perm("retention.view_softdeletetable"):
            return reverse("admin:retention_softdeletetable_change", args=[self.object.pk])
        return reverse("admin:retention_deletion_changelist")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        preview = self.preview
        shown = row_read(self.table, self.record_id)
        masks = not may_see_values(self.request.user)
        words = shown.words(masks=masks) if shown else []
        name = shown.name(masks=masks) if shown else ""
        name = name or f"{self.table.name.name} {key_words(self.record_id, masks=masks)}"
        self.title = f"Delete {name}"
        self.consequence = (
            "Nobody sees it from then on, and nothing is destroyed before its grace of "
            f"{grace_words(self.object)} is over."
        )
        context = super().get_context_data(
            **kwargs,
            question=f"Delete {name}?",
            facts_title="The record",
            facts=[
                Fact("Record", code(key_words(self.record_id, masks=masks)), str(self.table.name)),
                *([Fact("Known by", ", ".join(words))] if words else []),
            ],
            tree=[(name, level_shown(level), number(rows)) for name, level, rows in preview.tables],
            severed=[
                (each.table, ", ".join(each.columns), records_words(each.rows))
                for each in preview.severed
            ],
            table=str(self.table.name),
            refused=[_refusal(each, masks=masks) for each in preview.refused],
            hidden={},
        )
        return {
            **context,
            "original": f"{self.table.name} {key_words(self.record_id, masks=masks)}",
        }


def _refusal(each: dict[str, Any], *, masks: bool) -> str:
    rows = int(each.get("rows", 0))
    if held := ", ".join(each.get("held_by", ())):
        return (
            f"{number(rows)} row{'' if rows == 1 else 's'} of {each.get('table', '')} would lose "
            f"the reference to it, which {held} forbids."
        )
    shown = [key_words(str(record), masks=masks) for record in each.get("records", [])]
    records = ", ".join(shown)
    some = f" ({records}{', ...' if rows > len(each.get('records', [])) else ''})"
    verb = "refers" if rows == 1 else "refer"
    return (
        f"{number(rows)} row{'' if rows == 1 else 's'} of {each.get('table', '')}{some} {verb} to "
        "it, and would not go along."
    )

"""What changed between two versions of a policy, in the words of its page."""

from __future__ import annotations

from typing import Any

from simple_history.template_utils import HistoricalRecordContextHelper

from operations.admin.show import NOTHING
from operations.conditions.describe import describe
from operations.conditions.structure import from_json
from retention.models import RetentionPolicy

_LABELS = {
    "keep_hours": "Kept for",
    "age_column": "Counted from",
    "keep_condition": "Kept while",
    "archive_first": "Archived first",
    "archive_days": "Archive kept for",
    "soft_delete": "Soft deletion first",
}
_SILENT = {"updated_at", "version", "created_at"}


class PolicyHistoryContext(HistoricalRecordContextHelper):
    def context_for_delta_changes(self, delta: Any) -> list[dict[str, Any]]:
        return [
            {
                "field": _LABELS.get(change.field)
                or self.model._meta.get_field(change.field).verbose_name.capitalize(),
                "old": shown(change.field, change.old),
                "new": shown(change.field, change.new),
            }
            for change in delta.changes
            if change.field not in _SILENT
        ]


def shown(field: str, value: Any) -> str:
    """A field's value as the page of the policy words it."""
    worded = {
        "keep_hours": lambda: RetentionPolicy(keep_hours=value).term,
        "archive_days": lambda: "for ever" if value is None else f"{value:,} days",
        "keep_condition": lambda: describe(from_json(value)) if value else NOTHING,
    }
    if field in worded:
        return worded[field]()
    if isinstance(value, bool):
        return "yes" if value else "no"
    return NOTHING if value in (None, "") else str(value)

"""What changed between two versions of a policy, in the words of its page."""

from __future__ import annotations

from typing import Any

from simple_history.template_utils import HistoricalRecordContextHelper

from operations.admin.show import NOTHING
from operations.conditions.describe import describe
from operations.conditions.structure import from_json
from retention.models import RetentionPolicy

_SILENT = {"updated_at", "version", "created_at"}


class PolicyHistoryContext(HistoricalRecordContextHelper):
    def context_for_delta_changes(self, delta: Any) -> list[dict[str, Any]]:
        return [
            {
                "field": self.model._meta.get_field(change.field).verbose_name.capitalize(),
                "old": shown(change.field, change.old),
                "new": shown(change.field, change.new),
            }
            for change in delta.changes
            if change.field not in _SILENT
        ]


def shown(field: str, value: Any) -> str:
    match field, value:
        case "keep_hours", _:
            return RetentionPolicy(keep_hours=value).term
        case "archive_days", None:
            return "for ever"
        case _, None | "":
            return NOTHING
        case "keep_condition", _:
            return describe(from_json(value))
        case _, bool():
            return "yes" if value else "no"
    return str(value)

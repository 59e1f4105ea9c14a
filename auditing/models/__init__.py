from auditing.models.change import (
    AuditEvent,
    ChangeContext,
    ChangeStatement,
    ChangeTransaction,
    Operation,
    SummaryPosition,
    VersionNote,
)
from auditing.models.tracked import Handling, HistoryColumn, Layout, TrackedColumn, TrackedTable

__all__ = [
    "AuditEvent",
    "ChangeContext",
    "ChangeStatement",
    "ChangeTransaction",
    "Handling",
    "HistoryColumn",
    "Layout",
    "Operation",
    "SummaryPosition",
    "TrackedColumn",
    "TrackedTable",
    "VersionNote",
]

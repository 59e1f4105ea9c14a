from auditing.models.change import (
    AuditEvent,
    ChangeContext,
    ChangeStatement,
    ChangeTransaction,
    Operation,
    SummaryPosition,
    VersionNote,
)
from auditing.models.seal import (
    RedactedValue,
    Removal,
    SealBlock,
    SealPosition,
    SealSection,
)
from auditing.models.tracked import Handling, HistoryColumn, Layout, TrackedColumn, TrackedTable
from auditing.models.verify import VerifyFinding

__all__ = [
    "AuditEvent",
    "ChangeContext",
    "ChangeStatement",
    "ChangeTransaction",
    "Handling",
    "HistoryColumn",
    "Layout",
    "Operation",
    "RedactedValue",
    "Removal",
    "SealBlock",
    "SealPosition",
    "SealSection",
    "SummaryPosition",
    "TrackedColumn",
    "TrackedTable",
    "VerifyFinding",
    "VersionNote",
]

"""What the results and certificates of purges say of the bin."""

from __future__ import annotations

from typing import Any

from operations.models import Run
from retention.models import Deletion


def entered_facts(run: Run) -> dict[str, Any]:
    """What the run moved into the bin."""
    entered = run.cursor.get("entered", {"rows": 0, "deletions": [], "count": 0})
    return {
        "moved_in": entered["rows"],
        "deletions": entered["count"],
        "deletion_numbers": entered["deletions"],
    }


def deletion_facts(run: Run) -> dict[str, Any]:
    """The deletion that was destroyed at somebody's word: who deleted the record, when and why."""
    deletion = Deletion.objects.get(pk=run.parameters["deletion"])
    return {
        "deletion": {
            "number": deletion.pk,
            "table": str(deletion.table),
            "record": deletion.record_id,
            "deleted_at": deletion.deleted_at.isoformat(),
            "deleted_by": deletion.actor,
            "reason": deletion.reason,
            "asked_by": deletion.purge_asked_by,
        }
    }

"""The end of a redaction: its certificate, and its line in the log."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from auditing.models import AuditEvent, RedactedValue, TrackedTable
from auditing.redactions import places
from auditing.seals.redacted import RedactedLine, redacted_digest
from auditing.services.events import event_add
from operations.models import Run
from operations.runs.kinds import Outcome
from operations.services.certificates import certificate_issue

REDACTION = "redaction"
"""The kind of the certificate."""
REMAINING = (
    (
        "Write-ahead log, backups, and replicas that have not replayed the run hold the values "
        "until they expire. After a restore from one, the redaction has to be done again."
    ),
    (
        "VACUUM made the place of the old rows free. In the files of tables that were not written "
        "anew (VACUUM FULL, pg_repack) bytes may stay until something else is written there, and "
        "rows as long as a transaction is open that began before the run."
    ),
    "The server's own log has the values if it logs statements with their parameters.",
    "Rows that the application has are the application's: they are not part of this.",
)


def redact_close(
    *, run: Run, outcome: Outcome, columns: list[str], space: dict[str, Any]
) -> dict[str, Any]:
    """Certifies what was redacted. In the run's last transaction; repeatable."""
    tracked = TrackedTable.objects.get(pk=run.parameters["tracked"])
    lines = redacted_lines(run)
    result: dict[str, Any] = {
        "table": str(tracked),
        "columns": columns,
        "versions": run.done,
        "values": len(lines),
        "elsewhere": [
            done
            for each in places()
            for done in each.done(tracked, run_id=run.pk, using=run.database)
        ],
        "outcome": outcome,
        "space": space,
        "certificate": None,
    }
    if lines or result["elsewhere"]:
        body = _body(run, tracked, result, lines)
        certificate = certificate_issue(kind=REDACTION, subject=run.subject, body=body, run=run)
        result["certificate"] = certificate.number
        _event(run, tracked, result)
    return result


def redacted_lines(run: Run) -> list[RedactedLine]:
    """What the run destroyed, as its certificate is made from it."""
    found = (
        RedactedValue.objects.filter(run_id=run.pk, commitment__isnull=False)
        .order_by("id")
        .values_list("section__block_id", "section__place", "place", "name", "commitment")
    )
    return [RedactedLine(*row[:4], bytes(row[4] or b"")) for row in found.iterator()]


def _body(
    run: Run, tracked: TrackedTable, result: dict[str, Any], lines: list[RedactedLine]
) -> dict[str, Any]:
    columns = ", ".join(result["columns"])
    blocks = {line.block for line in lines}
    return {
        "statement": (
            f"{len(lines):,} values of {columns} in {run.done:,} versions of {tracked} were "
            "destroyed in the audit history, with the salts of their commitments. The commitments "
            "stay, so the log verifies as before."
        ),
        "disposition": "destroyed",
        "outcome": result["outcome"],
        "run": run.pk,
        "table": str(tracked),
        "history": str(tracked.history),
        "columns": result["columns"],
        "chosen_by": run.plan["chosen_by"],
        "records": run.plan["records"],
        "versions": run.done,
        "requested_by": str(run.requester),
        "approved_by": str(run.decided_by) if run.decided_by else "",
        "reason": run.reason,
        "started_at": run.started_at.isoformat() if run.started_at else "",
        "finished_at": timezone.now().isoformat(),
        "redacted_values": len(lines),
        "redacted_sha256": redacted_digest(lines),
        "blocks": {"first": min(blocks), "last": max(blocks), "count": len(blocks)}
        if blocks
        else {},
        "rewritten_elsewhere": result["elsewhere"],
        "vacuumed": result["space"].get("vacuumed", []),
        "written_anew": result["space"].get("rewritten", []),
        "still_to_do": result["space"].get("left", []),
        "copies_that_remain": [
            *REMAINING,
            *(said for each in places() for said in each.remaining(tracked, using=run.database)),
        ],
    }


def _event(run: Run, tracked: TrackedTable, result: dict[str, Any]) -> None:
    event = event_add(
        AuditEvent.Kind.REDACT,
        tracked,
        actor=run.requester,
        reason=run.reason,
        detail={
            "columns": result["columns"],
            "values": result["values"],
            "approved_by": str(run.decided_by) if run.decided_by else "",
        },
    )
    event.run_id, event.certificate, event.rows = run.pk, result["certificate"], run.done
    event.save(update_fields=["run_id", "certificate", "rows"])

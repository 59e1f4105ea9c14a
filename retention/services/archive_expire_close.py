"""The end of an expiry: its certificate of destruction."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from operations.models import Certificate, Run
from operations.runs.kinds import Outcome
from operations.services.certificates import certificate_issue
from retention.models import Archive, RetentionPolicy
from retention.services.archive_erase import (
    archive_facts,
    archive_leftovers,
    part_facts,
    proof_digest,
    proof_file,
)

REMAINING_COPIES = (
    "Backups, snapshots and replicas of the storage hold the files until they expire.",
    "Rows that were restored from the archives while they were kept are not part of this.",
)


def expiry_close(*, run: Run, outcome: Outcome, kept: list[dict[str, str]]) -> dict[str, Any]:
    """Certifies what was destroyed. In the run's last transaction; repeatable."""
    archives = list(run.destroyed_archives.order_by("id"))
    result: dict[str, Any] = {
        "archives": [archive.name for archive in archives],
        "rows": sum(archive.rows for archive in archives),
        "bytes": sum(archive.bytes for archive in archives),
        "kept": kept,
        "outcome": outcome,
        "certificate": None,
    }
    if archives:
        body = _body(run, archives, outcome, kept)
        certificate = certificate_issue(kind="destruction", subject=run.subject, body=body, run=run)
        result["certificate"] = certificate.number
    return result


def _body(
    run: Run, archives: list[Archive], outcome: Outcome, kept: list[dict[str, str]]
) -> dict[str, Any]:
    policy = RetentionPolicy.objects.get(pk=run.parameters["policy"])
    rows = sum(archive.rows for archive in archives)
    count = "1 archive" if len(archives) == 1 else f"{len(archives):,} archives"
    return {
        "statement": (
            f"{count} of rows under the policy {policy.name} reached the end of the term and "
            f"{'was' if len(archives) == 1 else 'were'} destroyed, with the {rows:,} rows inside."
        ),
        "disposition": "destroyed",
        "outcome": outcome,
        "run": run.pk,
        "policy": {"name": policy.name, "legal_basis": policy.legal_basis, "owner": policy.owner},
        "requested_by": str(run.requester),
        "approved_by": str(run.decided_by) if run.decided_by else "",
        "reason": run.reason,
        "started_at": run.started_at.isoformat() if run.started_at else "",
        "finished_at": timezone.now().isoformat(),
        "rows": rows,
        "archives": [_archive(archive) for archive in archives],
        "files": [
            {"archive": archive.name, **part}
            for archive in archives
            for part in part_facts(archive)
        ],
        "kept_past_their_term": kept,
        "copies_that_remain": list(REMAINING_COPIES),
    }


def _archive(archive: Archive) -> dict[str, Any]:
    return {
        **archive_facts(archive),
        "disposition_certificate": _disposition(archive),
        "proof": proof_file(archive),
        "proof_sha256": proof_digest(archive),
        "files_left": archive_leftovers(archive),
    }


def _disposition(archive: Archive) -> str:
    """The number of the certificate with which its rows had left their table."""
    found = Certificate.objects.filter(run_id=archive.run_id, kind="disposition").first()
    return found.number if found else ""

"""The end of a purge: its parts read back, its manifest written, its certificate issued."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import timedelta
from itertools import repeat
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from operations.catalogue.types import TableName
from operations.copies import remaining_copies
from operations.encryption import unreadable
from operations.models import Run
from operations.runs.kinds import Beat, Outcome
from operations.services.certificates import certificate_issue
from operations.storage import Storage, storage, write_once
from retention.exceptions import ArchiveDamaged
from retention.models import Archive, ArchivePart, RetentionPolicy
from retention.selectors.hold_honoured import holds_honoured
from retention.selectors.policies import approval_facts
from retention.services.archive_writing import archive_names
from retention.services.bin_facts import deletion_facts, entered_facts
from retention.services.part_reader import part_differences, part_measure
from retention.services.partition_state import PartitionState
from retention.services.protection import lock_parts, protection_of, unknown_files
from retention.services.purge_events import purge_events, removed_versions
from retention.services.purge_space import PurgeSpace, purge_space

READERS = 2
"""Parts that are read back at a time."""
VERIFIED_ROWS = "Every part was read back: its SHA-256, its size and its number of rows."
VERIFIED_BYTES = (
    "Every part was read back: its SHA-256 and its size. Its rows were not counted again, because "
    "the console holds no identity that decrypts them."
)


def verify_parts(run: Run, store: Storage, beat: Beat) -> None:
    """Reads every part back from the storage. Raises ArchiveDamaged naming the first bad one."""
    parts = ArchivePart.objects.filter(archive__run=run).order_by("archive", "number")
    parts = parts.select_related("archive")
    with ThreadPoolExecutor(READERS, "part-reader") as pool:
        for _ in pool.map(check_part, parts, repeat(store)):
            beat()


def check_part(part: ArchivePart, store: Storage) -> None:
    """The stored bytes hash to what was written, and unpack to the rows that went in.

    An encrypted part is unpacked only where an identity opens it; elsewhere its bytes are compared.
    """
    readable = not unreadable(part.archive.recipients)
    differences = part_differences(part, part_measure(store, part.file, unpack=readable))
    if differences:
        raise ArchiveDamaged(f"{part.file} {'; '.join(differences)}.")


def purge_close(*, run: Run, outcome: Outcome) -> dict[str, Any]:
    """Completes the archives and certifies what was done. In the run's last transaction.

    Repeatable: a manifest is the same bytes each time, and a run has one certificate.
    """
    order = list(archive_names(run).values())
    archives = sorted(Archive.objects.filter(run=run), key=lambda each: order.index(each.name))
    for archive in archives:
        _complete(archive, run)
    removed = removed_rows(run)
    space = purge_space(run, removed=removed)
    result: dict[str, Any] = {
        "rows": run.done,
        "outcome": outcome,
        "passes": run.cursor.get("pass", 1),
        "tables": _tables(run),
        "archive": archives[0].name if archives else None,
        "archives": [archive.name for archive in archives],
        "archive_bytes": sum(archive.bytes for archive in archives),
        "space": space.to_json(),
        "partitions_dropped": [asdict(each) for each in PartitionState.of(run.cursor).dropped],
        "certificate": None,
    }
    if left := [file for each in archives for file in unknown_files(each, storage())]:
        result["leftovers"] = left
    if "bin" in run.parameters:
        result["bin"] = {"destroyed": sum(removed.values()), **entered_facts(run)}
    if any(removed.values()):
        certificate = certificate_issue(
            kind="disposition",
            subject=run.subject,
            body=_body(run, archives, outcome, space),
            run=run,
            lock_until=archives[0].locked_until if archives and protection_of(run).term else None,
        )
        result["certificate"] = certificate.number
        events = purge_events(run, removed, outcome=outcome, certificate=certificate.number)
        result["audited"] = [
            {"table": str(each.tracked), "history": each.detail["history"]}
            for each in events
            if "history" in each.detail
        ]
    return result


def removed_rows(run: Run) -> dict[TableName, int]:
    """How many rows of each table are gone: the policy's own first."""
    names = list(archive_names(run))
    if len(names) == 1 and "bin" not in run.parameters:
        return {names[0]: run.done}
    counts = run.cursor.get("tables", {})
    return {name: counts.get(str(number), 0) for number, name in enumerate(names)}


def _tables(run: Run) -> list[dict[str, Any]]:
    return [
        {"table": f"{name.schema}.{name.name}", "rows": rows}
        for name, rows in removed_rows(run).items()
    ]


def _complete(archive: Archive, run: Run) -> None:
    if archive.state == Archive.State.COMPLETE:
        return
    sums = archive.parts.aggregate(rows=Sum("rows"), bytes=Sum("bytes"))
    archive.rows, archive.bytes = sums["rows"] or 0, sums["bytes"] or 0
    # A lock ends with a whole second, and the term with the lock.
    now = timezone.now().replace(microsecond=0) + timedelta(seconds=1)
    days = run.parameters["archive_days"]
    archive.expires_at = now + timedelta(days=days) if days is not None else None
    store, lock_until = storage(), None
    if protection_of(run).term is not None and archive.expires_at is not None:
        archive.locked_until = lock_until = archive.expires_at
        lock_parts(archive, lock_until, store)
    manifest = manifest_of(archive, run)
    write_once(store, f"{archive.folder}/manifest.json", manifest, lock_until=lock_until)
    archive.manifest_sha256 = hashlib.sha256(manifest).hexdigest()
    archive.state, archive.completed_at = Archive.State.COMPLETE, now
    archive.save()


def manifest_of(archive: Archive, run: Run) -> bytes:
    """Of an archive that the run wrote: the same bytes each time."""
    parts = archive.parts.order_by("number").values(
        "number",
        "file",
        "rows",
        "bytes",
        "plain_bytes",
        "sha256",
        "schema_name",
        "table_name",
        "window",
    )
    manifest = {
        "archive": archive.name,
        "run": run.pk,
        "policy": run.parameters["policy_name"],
        "policy_version": archive.policy_version,
        "table": [archive.schema_name, archive.table_name],
        "root": archive.root.name if archive.root else None,
        "cutoff": run.parameters["cutoff"],
        "keep_while": run.plan.get("keep_while", ""),
        "layout": archive.layout,
        "recipients": archive.recipients,
        "rows": archive.rows,
        "bytes": archive.bytes,
        "parts": list(parts),
        **({"redactions": archive.redactions} if archive.redactions else {}),
    }
    return (json.dumps(manifest, sort_keys=True, indent=1) + "\n").encode()


def _body(run: Run, archives: list[Archive], outcome: Outcome, space: PurgeSpace) -> dict[str, Any]:
    tables = _tables(run)
    dropped = [asdict(each) for each in PartitionState.of(run.cursor).dropped]
    disposition = "destroyed"
    if archives:
        until = archives[0].expires_at
        disposition = f"archived until {until:%Y-%m-%d}" if until else "archived"
    body: dict[str, Any] = {
        "statement": _statement(run, tables, disposition),
        "disposition": disposition,
        "outcome": outcome,
        "run": run.pk,
        **_policy(run),
        "cutoff": run.parameters["cutoff"],
        "requested_by": str(run.requester),
        "approved_by": str(run.decided_by) if run.decided_by else "",
        "reason": run.reason,
        "started_at": run.started_at.isoformat() if run.started_at else "",
        "finished_at": timezone.now().isoformat(),
        "tables": tables,
        "kept_past_their_term": {
            name: run.plan[key]
            for name, key in (
                ("by_condition", "kept_by_condition"),
                ("condition_unknown", "undecided"),
                ("by_veto", "protected"),
                ("still_referenced", "referenced"),
                ("by_what_goes_along", "kept_by_dependents"),
            )
            if run.plan.get(key) is not None
        },
        **({"partitions_dropped": dropped} if dropped else {}),
        **({"history_versions": versions} if (versions := removed_versions(run)) else {}),
        "bytes_returned_to_the_system": space.returned_bytes,
        "bytes_reusable_in_the_tables": space.reusable_bytes,
        "holds_honoured": holds_honoured(run),
        "copies_that_remain": remaining_copies(
            TableName(*run.parameters["table"]), using=run.database
        ),
    }
    if archives:
        body["archive"] = _archive(archives[0])
    if len(archives) > 1:
        body["archives_of_what_went_along"] = [_archive(archive) for archive in archives[1:]]
    return body


def _policy(run: Run) -> dict[str, Any]:
    """Of one deletion, destroyed at somebody's word, only that policy by which it was archived."""
    facts: dict[str, Any] = {}
    if "deletion" in run.parameters:
        facts = deletion_facts(run)
    if run.parameters["policy"] is None:
        return facts
    policy = RetentionPolicy.objects.get(pk=run.parameters["policy"])
    return {
        **facts,
        "policy": {
            "name": policy.name,
            "version": run.parameters["policy_version"],
            "term": policy.term,
            "age_column": run.parameters["age_column"],
            "keep_while": run.plan.get("keep_while", ""),
            "legal_basis": policy.legal_basis,
            **approval_facts(policy, run.parameters["policy_version"]),
        },
    }


def _statement(run: Run, tables: list[dict[str, Any]], disposition: str) -> str:
    own, *others = tables
    along = sum(each["rows"] for each in others)
    with_them = f", and {along:,} rows of other tables that belonged to them," if along else ""
    why = "had reached the end of their term"
    if "bin" in run.parameters:
        why = "had been deleted, and whose time in the bin was over"
    if "deletion" in run.parameters:
        why = f"had been deleted (deletion {run.parameters['deletion']})"
    return (
        f"{own['rows']:,} rows of {own['table']} that {why}{with_them} "
        f"were deleted from the database and {disposition}."
    )


def _archive(archive: Archive) -> dict[str, Any]:
    parts = archive.parts.order_by("number").values("file", "rows", "bytes", "sha256")
    return {
        "name": archive.name,
        "table": f"{archive.schema_name}.{archive.table_name}",
        "rows": archive.rows,
        "bytes": archive.bytes,
        "manifest_sha256": archive.manifest_sha256,
        "parts": list(parts),
        "encrypted_to": archive.recipients,
        "locked_until": archive.locked_until.isoformat() if archive.locked_until else "",
        "verified": VERIFIED_BYTES if unreadable(archive.recipients) else VERIFIED_ROWS,
    }

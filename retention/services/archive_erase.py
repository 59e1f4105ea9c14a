"""The files of an archive whose destruction is decided: a proof stays, everything else goes.

Repeatable, so that a worker that was killed in between leaves it to the next.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from operations.runs.kinds import Beat
from operations.storage import storage, write_once
from retention.models import Archive, ArchivePart
from retention.services.protection import leftovers

PROOF = "destroyed.json"


def archive_erase(*, archive: Archive, beat: Beat = lambda: None) -> None:
    """Makes the proof durable, then deletes what the database knows of the archive's files.

    A file that it does not know stays: it may be the only copy of rows, when the database was
    restored from an older backup. `archive_leftovers` tells of it.

    Raises:
        StorageError: a file could not be deleted; the rest can be deleted later.
    """
    store = storage()
    write_once(store, proof_file(archive), proof(archive))
    for number, file in enumerate(_known(archive)):
        if number % 100 == 0:
            beat()
        store.delete(file)
    for draft in store.list_drafts(f"{archive.folder}/"):
        store.delete_draft(draft)


def archive_leftovers(archive: Archive) -> list[str]:
    """Files in the archive's folder beside the proof."""
    found = storage().list(f"{archive.folder}/")
    return [file for file in found if file != proof_file(archive)]


def proof_file(archive: Archive) -> str:
    return f"{archive.folder}/{PROOF}"


def proof(archive: Archive) -> bytes:
    """What was destroyed, without anything of its rows: the same bytes each time."""
    facts = archive_facts(archive)
    document = {**facts, "files": part_facts(archive)}
    return (json.dumps(document, sort_keys=True, indent=1) + "\n").encode()


def proof_digest(archive: Archive) -> str:
    return hashlib.sha256(proof(archive)).hexdigest()


def archive_facts(archive: Archive) -> dict[str, Any]:
    assert archive.completed_at is not None
    assert archive.expires_at is not None
    assert archive.destroyed_at is not None
    return {
        "archive": archive.name,
        "table": f"{archive.schema_name}.{archive.table_name}",
        "policy_version": archive.policy_version,
        "rows": archive.rows,
        "bytes": archive.bytes,
        "completed_at": archive.completed_at.isoformat(),
        "kept_until": archive.expires_at.isoformat(),
        "destroyed_at": archive.destroyed_at.isoformat(),
        "run": archive.run_id,
        "destroyed_by_run": archive.destroyed_by_id,
        "manifest_sha256": archive.manifest_sha256,
    }


def part_facts(archive: Archive) -> list[dict[str, Any]]:
    parts = archive.parts.order_by("number").values("file", "rows", "bytes", "sha256")
    return [{**part} for part in parts]


def _known(archive: Archive) -> list[str]:
    """The manifest last: it tells of the others."""
    attempts = leftovers(archive)
    parts = ArchivePart.objects.filter(archive=archive).order_by("number")
    files = [name for part in parts for name in (part.file, f"{part.file}.json")]
    return [*attempts, *files, f"{archive.folder}/manifest.json"]

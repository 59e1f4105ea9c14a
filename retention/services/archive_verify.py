"""Verifying archives: what lies in the storage is what was written when the rows were deleted.

Nothing is changed, and nothing is deleted: a file that the database does not know may be the only
copy of rows when the database was restored from an older backup.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Sum

from operations.encryption import unreadable
from operations.models import Certificate, Run
from operations.runs.states import OPEN
from operations.storage import Storage, StorageError, StorageMissing, storage
from retention.exceptions import ArchiveDamaged
from retention.models import Archive, ArchivePart
from retention.selectors.policies import PURGES
from retention.services.archive_erase import archive_leftovers, proof, proof_file
from retention.services.archive_writing import archive_names
from retention.services.part_reader import part_differences, part_measure
from retention.services.protection import leftovers

OnPart = Callable[[int, int], None]
"""Called after each part with the bytes read so far and those of the archive."""

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be."""

    file: str
    """In the storage."""
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


@dataclass(frozen=True)
class Verified:
    """What was found out about one archive."""

    archive: Archive
    parts: int
    rows: int
    """In the parts, as the database knows them."""
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    """What could not be checked yet, and why that is all right."""

    @property
    def ok(self) -> bool:
        return not self.problems


def archive_verify(*, archive: Archive, on_part: OnPart | None = None) -> Verified:
    """Reads every part, and compares files, database, manifest and certificate.

    An archive that is still being written is checked as far as it goes.
    """
    if archive.state == Archive.State.DESTROYED:
        return _destroyed(archive)
    store = storage()
    parts = list(archive.parts.order_by("number"))
    problems: list[Problem] = []
    notes: list[str] = []
    if archive.state == Archive.State.OPEN:
        run = archive.run
        notes.append(
            f"It is still being written by run {run.pk}, which is "
            f"{run.current.label.lower()}: only its {len(parts):,} parts so far were checked."
        )
    else:
        problems += _manifest(archive, parts, store)
    total, read = sum(part.bytes for part in parts), 0
    sealed = unreadable(archive.recipients)
    if sealed:
        notes.append(f"Its bytes were compared, its rows were not counted. {sealed}")
    if attempts := leftovers(archive):
        notes.append(
            f"{len(attempts):,} files of attempts that were given up are locked, and "
            "go when the archive goes; their rows are in other parts."
        )
    for part in parts:
        problems += _part(part, store, unpack=not sealed)
        problems += _sidecar(part, store)
        read += part.bytes
        if on_part is not None:
            on_part(read, total)
    unknown = list(_unknown(archive, parts, store))
    if archive.state == Archive.State.OPEN and unknown:
        notes.append(f"{len(unknown):,} files of a part under way were left out.")
    else:
        problems += unknown
    rows = sum(part.rows for part in parts)
    return Verified(archive, len(parts), rows, tuple(problems), tuple(notes))


def _destroyed(archive: Archive) -> Verified:
    """That nothing is left of it but the proof is what can be verified, and is no problem."""
    store, run = storage(), archive.destroyed_by
    when = f"{archive.destroyed_at:%Y-%m-%d}"
    if run is not None and run.state in OPEN:
        note = f"Run {run.pk} is destroying it: it is {run.current.label.lower()}."
        return Verified(archive, 0, 0, (), (note,))
    problems = [
        Problem(file, "is still there, although the archive was destroyed")
        for file in archive_leftovers(archive)
    ]
    file = proof_file(archive)
    if not store.exists(file):
        problems.append(Problem(file, "is missing: the proof of the archive's destruction"))
    else:
        with store.open(file) as opened:
            if opened.read() != proof(archive):
                problems.append(Problem(file, "is not what was written"))
    found = Certificate.objects.filter(run=run, kind="destruction").first() if run else None
    note = f"It was destroyed on {when} at the end of its term"
    note += f", certificate {found.number}." if found else "."
    return Verified(archive, 0, 0, tuple(problems), (note,))


def strangers() -> list[Problem]:
    """Files among the archives that belong to no archive and to no run under way."""
    store = storage()
    # First the folders, then the database: what came in between is known by then.
    folders = {"/".join(file.split("/")[:2]) for file in store.list("archives/")}
    known = set(Archive.objects.values_list("folder", flat=True))
    # The first part of an archive is durable before the database knows of the archive.
    open_runs = Run.objects.filter(kind__in=PURGES, state__in=OPEN)
    known |= {f"archives/{name}" for run in open_runs for name in archive_names(run).values()}
    return [
        Problem(file, "belongs to no archive that the database knows; it was left alone")
        for folder in sorted(folders - known)
        for file in store.list(folder)
        if file == folder or file.startswith(f"{folder}/")
    ]


def _part(part: ArchivePart, store: Storage, *, unpack: bool) -> list[Problem]:
    try:
        try:
            found = part_measure(store, part.file, unpack=unpack)
        except ArchiveDamaged as error:
            differs = part_differences(part, part_measure(store, part.file, unpack=False))
            return [Problem(part.file, differs[0] if differs else str(error))]
    except StorageMissing:
        return [Problem(part.file, f"is missing, and with it {part.rows:,} rows")]
    except StorageError as error:
        return [Problem(part.file, str(error))]
    return [Problem(part.file, what) for what in part_differences(part, found)]


def _sidecar(part: ArchivePart, store: Storage) -> list[Problem]:
    file = f"{part.file}.json"
    try:
        found, _ = _read_json(file, store)
    except _Unusable as error:
        return [error.problem]
    wanted = {
        "archive": part.archive.name,
        "run": part.archive.run_id,
        "number": part.number,
        "table": [part.schema_name, part.table_name],
        "file": part.file,
        "rows": part.rows,
        "bytes": part.bytes,
        "plain_bytes": part.plain_bytes,
        "sha256": part.sha256,
        "window": part.window,
        "layout": part.archive.layout,
    }
    return _compared(file, found, wanted)


def _manifest(archive: Archive, parts: list[ArchivePart], store: Storage) -> list[Problem]:
    file = f"{archive.folder}/{MANIFEST}"
    try:
        found, digest = _read_json(file, store)
    except _Unusable as error:
        return [error.problem]
    problems = []
    if digest != archive.manifest_sha256:
        problems.append(Problem(file, "is not what was written: its SHA-256 differs"))
    certified = _certified(archive)
    if certified is not None and certified.get("manifest_sha256") != _first(archive, digest):
        problems.append(Problem(file, "is not the one that the run's certificate names"))
    if (newest := _redacted(archive)) is not None and newest != digest:
        problems.append(Problem(file, "is not the one that the redaction's certificate names"))
    sums = archive.parts.aggregate(rows=Sum("rows"), bytes=Sum("bytes"))
    wanted = {
        "archive": archive.name,
        "run": archive.run_id,
        "table": [archive.schema_name, archive.table_name],
        "layout": archive.layout,
        "rows": sums["rows"] or 0,
        "bytes": sums["bytes"] or 0,
        "parts": [_part_facts(part) for part in parts],
    }
    problems += _compared(file, found, wanted)
    if (archive.rows, archive.bytes) != (wanted["rows"], wanted["bytes"]):
        problems.append(
            Problem(archive.folder, "its sums in the database are not those of its parts")
        )
    return problems


def _part_facts(part: ArchivePart) -> dict[str, Any]:
    return {
        "number": part.number,
        "file": part.file,
        "rows": part.rows,
        "bytes": part.bytes,
        "plain_bytes": part.plain_bytes,
        "sha256": part.sha256,
        "schema_name": part.schema_name,
        "table_name": part.table_name,
        "window": part.window,
    }


def _certified(archive: Archive) -> dict[str, Any] | None:
    """What the certificate of the purge says of the archive; None without a certificate."""
    certificate = Certificate.objects.filter(run_id=archive.run_id, kind="disposition").first()
    if certificate is None:
        return None
    body = certificate.body.get("body", {})
    named = [body.get("archive") or {}, *body.get("archives_of_what_went_along", [])]
    return next((each for each in named if each.get("name") == archive.name), {})


def _first(archive: Archive, digest: str) -> str:
    """What the manifest was when the purge was certified."""
    return archive.redactions[0]["former_manifest_sha256"] if archive.redactions else digest


def _redacted(archive: Archive) -> str | None:
    """What the last redaction's certificate says of the manifest; None while there is none."""
    if not archive.redactions:
        return None
    run = archive.redactions[-1]["run"]
    certificate = Certificate.objects.filter(run_id=run, kind="redaction").first()
    if certificate is None:
        return None
    named = certificate.body.get("body", {}).get("rewritten_elsewhere", [])
    found: dict[str, Any] = next(
        (each for each in named if each.get("archive") == archive.name), {}
    )
    return str(found.get("manifest_sha256", ""))


def _compared(file: str, found: dict[str, Any], wanted: dict[str, Any]) -> list[Problem]:
    differing = [name for name, value in wanted.items() if found.get(name) != value]
    if not differing:
        return []
    return [Problem(file, f"does not agree with the database on: {', '.join(differing)}")]


class _Unusable(Exception):
    def __init__(self, file: str, what: str) -> None:
        super().__init__(what)
        self.problem = Problem(file, what)


def _read_json(file: str, store: Storage) -> tuple[dict[str, Any], str]:
    """A small file and its SHA-256. Raises _Unusable."""
    try:
        with store.open(file) as opened:
            content = opened.read()
        found = json.loads(content)
    except StorageMissing:
        raise _Unusable(file, "is missing") from None
    except StorageError as error:
        raise _Unusable(file, str(error)) from error
    except ValueError:
        raise _Unusable(file, "cannot be read: it is not JSON") from None
    if not isinstance(found, dict):
        raise _Unusable(file, "cannot be read: it is not a JSON object")
    return found, hashlib.sha256(content).hexdigest()


def _unknown(archive: Archive, parts: list[ArchivePart], store: Storage) -> Iterator[Problem]:
    known = {f"{archive.folder}/{MANIFEST}"}
    known |= {name for part in parts for name in (part.file, f"{part.file}.json")}
    known |= set(leftovers(archive))
    for file in (*store.list(f"{archive.folder}/"), *store.list_drafts(f"{archive.folder}/")):
        if file not in known:
            yield Problem(file, "is not known to the database; it was left alone")

"""What a killed try to issue a certificate left in the storage."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime

from django.utils import timezone

from operations.certificates.canonical import NotCanonical
from operations.certificates.files import name_of, read_document
from operations.models import Certificate, Run
from operations.storage import Storage, StorageLocked, storage

logger = logging.getLogger(__name__)


def leftovers_remove(*, run: Run, given_before: int) -> None:
    """Removes the files of `run` that no row knows. The caller has the run's row locked.

    `given_before`: the last number that this database gave before the caller took its own. A file
    with a later one, or older than the run, was written before this database was restored from a
    backup: that certificate may be in somebody's hands, so it is kept.
    """
    store = storage()
    paths = [path for path in _paths(store, run) if _is_of(path, run)]
    numbers = {name.number for path in paths if (name := name_of(path))}
    issued = Certificate.objects.filter(number__in=numbers).values_list("number", flat=True)
    known = set(issued)
    # The PDF first: whoever is killed here leaves the JSON, which tells its age.
    for path in sorted(paths, key=lambda path: path.endswith(".json")):
        name = name_of(path)
        if name is None or name.number in known:
            continue
        if name.counter > given_before or _is_older_than(run, store, path):
            logger.warning("%s is kept: this database does not know it.", store.location(path))
            continue
        try:
            store.delete(path)
        except StorageLocked as error:
            # A certificate that nobody was given. `certificate_verify` tells of it.
            logger.warning("What a killed try left stays: %s", error)
    for draft in [name for year in _years(run) for name in store.list_drafts(_folder(year))]:
        if f".run-{run.pk}." in draft:
            store.delete_draft(draft)


def _paths(store: Storage, run: Run) -> Iterator[str]:
    for year in _years(run):
        yield from store.list(_folder(year))


def _years(run: Run) -> range:
    return range(run.created_at.astimezone(UTC).year, timezone.now().astimezone(UTC).year + 1)


def _folder(year: int) -> str:
    return f"certificates/C-{year:04}-"


def _is_of(path: str, run: Run) -> bool:
    name = name_of(path)
    return name is not None and name.run_id == run.pk


def _is_older_than(run: Run, store: Storage, path: str) -> bool:
    json_path = path.removesuffix(".pdf").removesuffix(".json") + ".json"
    if not store.exists(json_path):
        return False
    try:
        with store.open(json_path) as file:
            issued_at = read_document(file.read()).envelope.get("issued_at")
        return datetime.fromisoformat(str(issued_at)) < run.created_at.replace(microsecond=0)
    except (NotCanonical, ValueError, TypeError):
        # Something else wrote it, so it is not for us to remove.
        return True

"""How the files of an archive are protected: encrypted to whom, locked until when."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from operations.encryption import recipients
from operations.models import Run
from operations.storage import Storage, lock_wanted
from retention.models import Archive

_AT_ONCE = 8
"""Requests: each is small, and the storage may be far away."""


@dataclass(frozen=True)
class Protection:
    """The same for every file of one run."""

    recipients: tuple[str, ...]
    """Public age keys; none: not encrypted."""
    term: timedelta | None
    """How long the storage is to refuse to delete a file; None: it is not locked."""

    @property
    def suffix(self) -> str:
        """The end of a part's name, which tells how to read it."""
        return ".csv.zst.age" if self.recipients else ".csv.zst"

    def lock_until(self) -> datetime | None:
        """For a file that is written now."""
        return timezone.now() + self.term if self.term is not None else None

    def layout(self) -> dict[str, Any]:
        """What the layout of an archive says of it: nothing when it is plain."""
        if not self.recipients:
            return {}
        return {"encryption": "age", "recipients": list(self.recipients)}


def protection_of(run: Run) -> Protection:
    """As the settings want it; a run that began to write goes on encrypting to the same keys.

    Raises:
        RecipientUnusable: the settings name something else than public keys.
    """
    begun = Archive.objects.filter(run=run).order_by("id").first()
    to = tuple(begun.recipients) if begun is not None else recipients()
    days = run.parameters["archive_days"]
    locked = lock_wanted() and days is not None
    return Protection(to, timedelta(days=days) if locked else None)


def lock_parts(archive: Archive, until: datetime, store: Storage) -> None:
    """Locks every part and sidecar until then, and reads each lock back.

    They were locked when they were written, for a term that began then.

    Raises:
        LockRefused: a lock does not hold.
        StorageError: a file could not be asked about.
    """
    parts = archive.parts.order_by("number").values_list("file", flat=True)
    files = [name for file in parts for name in (file, f"{file}.json")]
    with ThreadPoolExecutor(_AT_ONCE, "locker") as pool:
        for _ in pool.map(lambda file: store.lock(file, until), files):
            pass


def unknown_files(archive: Archive, store: Storage) -> list[str]:
    """Files in the archive's folder that hold rows and that the database does not know.

    Asked when its run is closed, they are what attempts that were given up left and the storage
    does not delete.
    """
    known = set(archive.parts.values_list("file", flat=True))
    found = store.list(f"{archive.folder}/part-")
    return [file for file in found if file.removesuffix(".json") not in known]


def leftovers(archive: Archive) -> list[str]:
    """What `unknown_files` found when the archive's run was closed: it goes with the archive."""
    found = (archive.run.result or {}).get("leftovers", [])
    return [file for file in found if file.startswith(f"{archive.folder}/")]

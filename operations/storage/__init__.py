"""Where files go that must outlive the rows they prove: archives, manifests, certificates.

Invariant: a name exists only with its whole content, durable, and is never overwritten. A file is
written as a draft under another name and gets its own by `commit`; a process killed at any instant
leaves the whole file, or a draft that `list_drafts` tells of, or nothing.

CUSTODY_STORAGE is a folder, or an address in S3 (`s3://bucket/prefix`): one protocol for both.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings

from operations.storage.errors import (
    LockRefused,
    StorageError,
    StorageExists,
    StorageFull,
    StorageLocked,
    StorageMissing,
    StorageUnreachable,
)
from operations.storage.folder import FolderStorage
from operations.storage.once import write_once
from operations.storage.protocol import Draft, LockMode, Storage

__all__ = [
    "Draft",
    "LockRefused",
    "Storage",
    "StorageError",
    "StorageExists",
    "StorageFull",
    "StorageLocked",
    "StorageMissing",
    "StorageUnreachable",
    "is_in_s3",
    "lock_wanted",
    "storage",
    "write_once",
]


def lock_wanted() -> bool:
    """Whether files that have a term are to be locked for it."""
    return bool(settings.CUSTODY_OBJECT_LOCK != "off")


def storage() -> Storage:
    """The storage that the settings name; one object a process. Raises StorageError."""
    place = settings.CUSTODY_STORAGE
    if is_in_s3(place):
        return _s3_storage(str(place), settings.CUSTODY_OBJECT_LOCK)
    return _folder_storage(Path(place))


def is_in_s3(place: object) -> bool:
    """Whether CUSTODY_STORAGE is an address in S3."""
    return str(place).startswith("s3://")


@lru_cache
def _folder_storage(root: Path) -> Storage:
    return FolderStorage(root)


@lru_cache
def _s3_storage(address: str, lock: str) -> Storage:
    # boto3 takes a quarter of a second and 30 MB, which a console with a folder does not need.
    from operations.storage.s3 import S3Storage  # noqa: PLC0415
    from operations.storage.s3_place import S3Place  # noqa: PLC0415

    modes: dict[str, LockMode] = {"governance": "GOVERNANCE", "compliance": "COMPLIANCE"}
    return S3Storage(S3Place.at(address), modes.get(lock))

"""Where files go that must outlive the rows they prove: archives, manifests, certificates.

Invariant: a name exists only with its whole content, durable, and is never overwritten. A file is
written as a draft under another name and gets its own by `commit`; a process killed at any instant
leaves the whole file, or a draft that `list_drafts` tells of, or nothing.

The folder CUSTODY_STORAGE is the one storage so far; another kind stands behind the same protocol.
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
)
from operations.storage.folder import FolderStorage
from operations.storage.protocol import Draft, Storage

__all__ = [
    "Draft",
    "LockRefused",
    "Storage",
    "StorageError",
    "StorageExists",
    "StorageFull",
    "StorageLocked",
    "StorageMissing",
    "lock_wanted",
    "storage",
]


def lock_wanted() -> bool:
    """Whether files that have a term are to be locked for it."""
    return bool(settings.CUSTODY_OBJECT_LOCK != "off")


def storage() -> Storage:
    """The storage that the settings name; one object a process."""
    return _folder_storage(Path(settings.CUSTODY_STORAGE))


@lru_cache
def _folder_storage(root: Path) -> Storage:
    return FolderStorage(root)

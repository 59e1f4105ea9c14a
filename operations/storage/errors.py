"""What can go wrong with a file, in one line that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from operations.exceptions import CustodyError


class StorageError(CustodyError):
    """The storage did not do what was asked of it."""


class StorageFull(StorageError):
    """No room is left: free some, then go on."""


class StorageMissing(StorageError):
    """There is no such file."""


class StorageExists(StorageError):
    """The name is taken, and nothing is ever overwritten."""


@contextmanager
def explained(action: str, location: object) -> Iterator[None]:
    """Turns the system's errors inside the block into StorageError."""
    try:
        yield
    except OSError as error:
        raise explain(error, action, location) from error


def explain(error: OSError, action: str, location: object) -> StorageError:
    what = f"Cannot {action} {location}"
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return StorageFull(
                f"{what}: no room is left. Free some space there, or point CUSTODY_STORAGE at a "
                "larger disk with its files moved along; then try again."
            )
        case errno.EFBIG:
            return StorageFull(
                f"{what}: it would pass the largest size a file may have here. "
                "Raise that limit (`ulimit -f`), then try again."
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return StorageError(
                f"{what}: {error.strerror}. Let the user that runs Custody read and write there."
            )
        case errno.ENOENT:
            return StorageMissing(
                f"{what}: there is no such file. If it was moved, put it back; "
                "if the storage is not mounted, mount it."
            )
        case errno.EEXIST:
            return StorageExists(
                f"{what}: it is there already, and nothing is ever overwritten. "
                "Look at what it holds, and move it away if nothing needs it."
            )
        case errno.EIO | errno.ESTALE:
            return StorageError(
                f"{what}: {error.strerror}. Check the disk and its mount, then try again."
            )
        case _:
            return StorageError(
                f"{what}: {error.strerror or error}. Check CUSTODY_STORAGE and the disk it is on."
            )

"""What can go wrong with a file, in one line that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from operations.exceptions import CustodyError


class StorageError(CustodyError):
    """The storage did not do what was asked of it."""


class StorageFull(StorageError):
    """No room is left: free some, then go on."""


class StorageMissing(StorageError):
    """There is no such file."""


class StorageExists(StorageError):
    """The name is taken, and nothing is ever overwritten."""


class StorageUnreachable(StorageError):
    """It did not answer, or asked to be left in peace for a while: the same may work later."""


class StorageLocked(StorageError):
    """The storage itself refuses to delete the file, until a moment that is not here yet."""

    def __init__(self, message: str, *, until: datetime | None = None) -> None:
        super().__init__(message)
        self.until = until


class LockRefused(StorageError):
    """A lock was wanted and does not hold: what it was to protect is not to be relied on."""


@contextmanager
def explained(action: str, location: object) -> Iterator[None]:
    """Turns the system's errors inside the block into StorageError."""
    try:
        yield
    except OSError as error:
        raise explain(error, action, location) from error


def explain(error: OSError, action: str, location: object) -> StorageError:
    kind, remedy = _REMEDIES.get(
        error.errno or 0, (StorageError, "Check CUSTODY_STORAGE and the disk it is on.")
    )
    return kind(f"Cannot {action} {location}: {error.strerror or error}. {remedy}")


_MAKE_ROOM = (
    "Free some space there, or move its files to a larger disk and point CUSTODY_STORAGE at it; "
    "then try again."
)
_ALLOW = "Let the user that runs Custody read and write there."
_CHECK_DISK = "Check the disk and its mount, then try again."

_REMEDIES: dict[int, tuple[type[StorageError], str]] = {
    errno.ENOSPC: (StorageFull, _MAKE_ROOM),
    errno.EDQUOT: (StorageFull, _MAKE_ROOM),
    errno.EFBIG: (StorageFull, "Raise the largest size of a file (`ulimit -f`), then try again."),
    errno.ENOENT: (
        StorageMissing,
        "If it was moved, put it back; if the storage is not mounted, mount it.",
    ),
    errno.EEXIST: (
        StorageExists,
        "Nothing is ever overwritten: look at what is there, and move it away if it is not needed.",
    ),
    errno.EACCES: (StorageError, _ALLOW),
    errno.EPERM: (StorageError, _ALLOW),
    errno.EROFS: (StorageError, _ALLOW),
    errno.EIO: (StorageError, _CHECK_DISK),
    errno.ESTALE: (StorageError, _CHECK_DISK),
}

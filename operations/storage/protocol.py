"""What every storage can do, whatever stands behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import BinaryIO, Literal, Protocol

LockMode = Literal["GOVERNANCE", "COMPLIANCE"]
"""Who may lift a lock before its end: whoever has the permission for it, or nobody."""


class Draft(Protocol):
    """A file being written. It has its name only when `commit` has returned."""

    @property
    def path(self) -> str:
        """The path it will have."""

    @property
    def name(self) -> str:
        """What `list_drafts` calls it and `delete_draft` takes."""

    @property
    def size(self) -> int:
        """Bytes written so far."""

    def write(self, data: bytes, /) -> int:
        """Writes all of `data`; returns its length in bytes.

        Raises:
            StorageFull: no room is left. The draft can only be discarded.
            StorageError: anything else that went wrong.
        """

    def commit(self) -> None:
        """Makes the file durable under its path. A second call does nothing.

        Raises:
            StorageExists: the path is taken. Nothing was overwritten.
            LockRefused: the file is not locked as it was to be. The path is free again, unless
                what stands there cannot be removed.
            StorageError: it may not be durable. The path is free again.
        """

    def discard(self) -> None:
        """Removes the draft. Does nothing to one that is committed or discarded already."""


class Storage(Protocol):
    """Files by path. A path is relative, with `/` between its parts, none of them hidden.

    Every method raises StorageError, whose text is one line that says what to do.
    """

    def draft(self, path: str, *, tag: str = "", lock_until: datetime | None = None) -> Draft:
        """Begins the file `path`. `tag` (letters, digits, `-`, `_`) marks whose draft it is.

        Two drafts of one path need two tags: give each attempt its own, such as the run's fence.
        Without one, a tag is made up.

        Args:
            lock_until: until then the file cannot be deleted, by us or by anybody. The lock is put
                with the file and read back before `commit` returns.

        Raises:
            StorageExists: the path, or the draft with this tag, is there already.
            LockRefused: nothing can be locked here.
        """

    def commit_all(self, drafts: Sequence[Draft]) -> None:
        """Makes several drafts durable, all or (when it raises) none of them.

        Costs one flush of the folder, not one a file.
        """

    def open(self, path: str) -> BinaryIO:
        """The file, to be read. Raises StorageMissing when there is none."""

    def exists(self, path: str) -> bool:
        """Whether a committed file has this path."""

    def size(self, path: str) -> int:
        """Bytes. Raises StorageMissing when there is no such file."""

    def list(self, prefix: str) -> Iterator[str]:
        """Paths that begin with `prefix`, sorted, from all folders below it. No drafts.

        A folder's files: end `prefix` with `/`.
        """

    def list_drafts(self, prefix: str) -> Iterator[str]:
        """Names of the drafts of paths that begin with `prefix`, sorted."""

    def delete(self, path: str) -> None:
        """Removes the file, durably, and every version of it. A missing one is fine.

        Raises:
            StorageLocked: until when. The file is still there, whole.
        """

    def delete_draft(self, name: str) -> None:
        """Removes a draft that some process left behind. A missing one is fine."""

    def locked_until(self, path: str) -> datetime | None:
        """Until when the storage refuses to delete the file; None when it is not locked.

        Raises StorageMissing when there is no such file.
        """

    def lock(self, path: str, until: datetime) -> None:
        """Locks the file until then, or leaves it locked for longer; reads the lock back.

        Raises:
            LockRefused: the lock does not hold.
            StorageMissing: there is no such file.
        """

    def check_lock(self) -> None:
        """Raises LockRefused, with the remedy, when files cannot be locked here."""

    def location(self, path: str) -> str:
        """Where a person finds the file."""

    def probe(self) -> None:
        """Writes, flushes and removes a small file: returns when the storage answers."""

"""A file on its way into a folder: written aside, flushed, then linked to its name."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from operations.storage.errors import StorageError, explained

logger = logging.getLogger(__name__)

_WITHOUT_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def fsync_folder(folder: Path) -> None:
    """Makes the names in `folder` durable: fsync of a file does not cover the name it has."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems flush names by themselves and know no other way.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


class FolderDraft:
    """The file `path` while it is written as `name`. Used by one thread at a time."""

    def __init__(self, path: str, name: str, target: Path, aside: Path) -> None:
        """Raises OSError, FileExistsError when a draft of this name is there already."""
        self.path = path
        self.name = name
        self.size = 0
        self._target = target
        self._aside = aside
        self._committed = False
        self._failed = False
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor: int | None = os.open(aside, flags, 0o600)

    def write(self, data: bytes, /) -> int:
        descriptor = self._usable()
        left = memoryview(data).cast("B")
        length = len(left)
        # A write that fails half way leaves a file that must never be committed.
        self._failed = True
        with explained("write", self._target):
            while left:
                left = left[os.write(descriptor, left) :]
        self._failed = False
        self.size += length
        return length

    def commit(self) -> None:
        self.commit_together([self])

    @staticmethod
    def commit_together(drafts: Sequence[FolderDraft]) -> None:
        open_drafts = [draft for draft in drafts if not draft._committed]
        try:
            for draft in open_drafts:
                draft.seal()
            for draft in open_drafts:
                draft._publish()
            for folder in {draft._target.parent for draft in open_drafts}:
                with explained("make durable", folder):
                    fsync_folder(folder)
        except BaseException:
            for draft in open_drafts:
                draft._withdraw()
            raise

    def seal(self) -> None:
        """Flushes the content to the disk and closes it. Raises StorageError."""
        descriptor = self._usable()
        # After a failed fsync a second one may succeed without the data being on the disk.
        self._failed = True
        with explained("make durable", self._target):
            os.fsync(descriptor)
            self._descriptor = None
            os.close(descriptor)
        self._failed = False

    def discard(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            try:
                os.close(descriptor)
            except OSError as error:
                # What it says of the content no longer matters.
                logger.debug("closing the draft %s: %s", self._aside, error)
        if self._committed:
            return
        self._failed = True
        try:
            self._aside.unlink(missing_ok=True)
        except OSError as error:
            # The error that led here is the one to tell; `list_drafts` still shows the draft.
            logger.warning("The draft %s is left behind: %s", self._aside, error)

    def _usable(self) -> int:
        if self._failed or self._descriptor is None:
            raise StorageError(f"The draft of {self._target} failed or is closed: begin a new one.")
        return self._descriptor

    def _publish(self) -> None:
        with explained("create", self._target):
            try:
                # Unlike rename, link never replaces what has the name already.
                os.link(self._aside, self._target, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _WITHOUT_LINKS:
                    raise
                self._rename()
            self._committed = True
            self._aside.unlink(missing_ok=True)

    def _rename(self) -> None:
        """For file systems without links: between the look and the rename is a gap."""
        if os.path.lexists(self._target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self._aside.rename(self._target)

    def _withdraw(self) -> None:
        if self._committed:
            self._committed = False
            try:
                self._target.unlink(missing_ok=True)
            except OSError as error:
                logger.warning("%s was not committed and is left: %s", self._target, error)
        self._failed = True

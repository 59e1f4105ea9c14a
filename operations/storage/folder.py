"""Storage in a folder of this machine, or of a network file system mounted on it."""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from operations.storage import paths
from operations.storage.errors import LockRefused, StorageError, explain, explained
from operations.storage.folder_draft import FolderDraft, fsync_folder
from operations.storage.protocol import Draft


class FolderStorage:
    """Files below `root`, which is made when the first is written: 0700, its files 0600."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._durable_folders: set[Path] = set()

    def draft(self, path: str, *, tag: str = "", lock_until: datetime | None = None) -> FolderDraft:
        paths.check_path(path)
        if lock_until is not None:
            self.check_lock()
        name = paths.draft_name(path, tag or secrets.token_hex(8))
        target = self.root / path
        with explained("write", target):
            self._make_folder(target.parent)
            # Refused now rather than after gigabytes; `commit` refuses for certain.
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        with explained("begin the draft", self.root / name):
            return FolderDraft(path, name, target, self.root / name)

    def commit_all(self, drafts: Sequence[Draft]) -> None:
        ours: list[FolderDraft] = []
        for draft in drafts:
            if not isinstance(draft, FolderDraft):
                raise TypeError(f"{draft!r} is a draft of another storage")
            ours.append(draft)
        FolderDraft.commit_together(ours)

    def open(self, path: str) -> BinaryIO:
        target = self.root / paths.check_path(path)
        with explained("read", target):
            return io.BufferedReader(_File(target), buffer_size=1 << 17)

    def exists(self, path: str) -> bool:
        target = self.root / paths.check_path(path)
        with explained("look at", target):
            try:
                return stat.S_ISREG(target.stat().st_mode)
            except (FileNotFoundError, NotADirectoryError):
                return False

    def size(self, path: str) -> int:
        target = self.root / paths.check_path(path)
        with explained("look at", target):
            return target.stat().st_size

    def list(self, prefix: str) -> Iterator[str]:
        return (path for path, hidden in self._walk(prefix) if not hidden)

    def list_drafts(self, prefix: str) -> Iterator[str]:
        return (path for path, hidden in self._walk(prefix) if hidden)

    def delete(self, path: str) -> None:
        self._remove(self.root / paths.check_path(path))

    def delete_draft(self, name: str) -> None:
        target = paths.draft_target(name)
        if target is None:
            raise StorageError(f"{name!r} is not the name of a draft: take it from `list_drafts`.")
        paths.check_path(target)
        self._remove(self.root / name)

    def locked_until(self, path: str) -> datetime | None:
        self.size(path)
        return None

    def lock(self, path: str, until: datetime) -> None:
        self.check_lock()

    def check_lock(self) -> None:
        raise LockRefused(
            f"Files in the folder {self.root} cannot be locked: whoever may write there may delete "
            "them. Let CUSTODY_STORAGE name an S3 bucket with object lock, or set "
            "CUSTODY_OBJECT_LOCK=off."
        )

    def location(self, path: str) -> str:
        return str(self.root / paths.check_path(path) if path else self.root)

    def probe(self) -> None:
        draft = self.draft("probe")
        try:
            draft.write(b"Does the storage answer?\n")
            draft.seal()
        finally:
            draft.discard()

    def _make_folder(self, folder: Path) -> None:
        # A file in a folder whose own name is not durable is lost with it. Another process may
        # have made the folder and not got so far, hence once for every folder and process.
        if folder in self._durable_folders and folder.is_dir():
            return
        missing = [f for f in (folder, *folder.parents) if not f.exists()]
        for each in reversed(missing):
            each.mkdir(mode=0o700, exist_ok=True)
        inside = [f for f in (folder, *folder.parents) if self.root in f.parents]
        for each in {*missing, *inside}:
            fsync_folder(each.parent)
        self._durable_folders.add(folder)

    def _remove(self, target: Path) -> None:
        with explained("remove", target):
            try:
                target.unlink(missing_ok=True)
                # Also when it was gone: the process that removed it may have been killed here.
                fsync_folder(target.parent)
            except (FileNotFoundError, NotADirectoryError):
                return

    def _walk(self, prefix: str) -> Iterator[tuple[str, bool]]:
        """(path or draft's name, whether it is a draft), sorted by that text."""
        folder = paths.check_prefix(prefix).rpartition("/")[0]
        for path in self._walk_folder(folder, prefix):
            target = paths.draft_target(path)
            if target is not None and target.startswith(prefix):
                yield path, True
            elif path.startswith(prefix) and not path.rpartition("/")[2].startswith("."):
                yield path, False

    def _walk_folder(self, folder: str, prefix: str) -> Iterator[str]:
        with explained("list", self.root / folder):
            try:
                with os.scandir(self.root / folder) as found:
                    # A folder sorts as its paths do, by the slash that follows its name.
                    entries = sorted(e.name + "/" if e.is_dir() else e.name for e in found)
            except (FileNotFoundError, NotADirectoryError):
                return
        for entry in entries:
            path = f"{folder}/{entry}" if folder else entry
            if not entry.endswith("/"):
                yield path
            elif _is_ours(entry) and (path.startswith(prefix) or prefix.startswith(path)):
                yield from self._walk_folder(path[:-1], prefix)


def _is_ours(folder_name: str) -> bool:
    # File systems keep folders of their own at a mount's top: .snapshot, lost+found.
    return not folder_name.startswith(".") and folder_name != "lost+found/"


class _File(io.FileIO):
    """A file whose reading fails in words."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")

    def readinto(self, buffer: Any) -> int | None:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise explain(error, "read", self.name) from error

    def readall(self) -> bytes:
        try:
            return super().readall()
        except OSError as error:
            raise explain(error, "read", self.name) from error

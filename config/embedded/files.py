"""Writing files that a server reads."""

from __future__ import annotations

import os
from pathlib import Path

from .account import Account


def write_private(path: Path, text: str, account: Account | None) -> None:
    """Replace `path` at once by `text`, readable for `account` (or this user) alone.

    Root may write into a folder of the server's user here, who must not be able to make it
    write elsewhere: hence a new file, never one that is there. One at a time.
    """
    made = path.with_name(f".{path.name}.new")
    made.unlink(missing_ok=True)
    fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if account:
                os.fchown(fd, account.uid, account.gid)
            os.fsync(fd)
        made.replace(path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


def read_own(path: Path) -> str:
    """The text of `path`, which must be a file and no link: see `write_private`."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(fd, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def sync_folder(path: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

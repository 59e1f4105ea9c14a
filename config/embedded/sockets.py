"""The private folder of a server's unix socket.

Whoever reaches the socket is let in, so the folder is the password: mode 0700, and owned by
the server's user. Only root and that user can pass.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from .account import Account
from .errors import EmbeddedError

LONGEST = 103
"""Bytes of a socket's path: 107 on Linux, 103 on macOS."""

# Not the folder that TMPDIR names: every process must compute the same one.
_SHORT = Path("/tmp")  # noqa: S108


def socket_folder(folder: Path, name: str) -> Path:
    """Where the socket `name` of the server in `folder` is; the same for every process.

    Inside `folder`, unless the path is too long for the kernel or has a comma, at which libpq
    splits.
    """
    inside = folder / "run"
    if len(os.fsencode(inside / name)) <= LONGEST and "," not in str(inside):
        return inside
    return _SHORT / f"custody-{sha256(os.fsencode(folder)).hexdigest()[:16]}"


def is_private(path: Path, owners: Collection[int]) -> bool:
    """Whether `path` is a folder, not a link, of one of these users and closed to others."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid in owners
        and not stat.S_IMODE(found.st_mode) & 0o077
    )


def make_private(path: Path, account: Account | None) -> None:
    """Make the folder, or take the one that is there. Raises EmbeddedError."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    owners = {os.geteuid()} | ({account.uid} if account else set())
    if not is_private(path, owners):
        raise EmbeddedError(
            f"{path}, which should hold the server's socket, belongs to someone else or is open to "
            "others: remove it, or set CUSTODY_VAR to another folder."
        )
    if account:
        # The server's user owns it already, perhaps, and could put a link in its place.
        os.chown(path, account.uid, account.gid, follow_symlinks=False)

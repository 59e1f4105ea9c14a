"""Who uses a server: one file for each process, locked by the kernel for as long as it lives.

A lock held with flock belongs to the open file, so it ends with the process however that ends,
SIGKILL included, and a forked child keeps it. No pid is ever trusted here.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import EmbeddedError

PATIENCE = 300.0
"""Seconds to wait for another process that is starting or stopping the server."""

_open_masters: set[int] = set()


def _forget_masters() -> None:
    # A child forked by another thread in the middle of a start would keep the lock for life.
    while _open_masters:
        os.close(_open_masters.pop())


os.register_at_fork(after_in_child=_forget_masters)


class Handles:
    """The handle files of one server and the lock that serialises its starts and stops.

    `adopt` is called with every file made here, to give it to the owner of the folder.
    """

    def __init__(self, folder: Path, adopt: Callable[[Path], None]) -> None:
        self._files = folder / "handles"
        self._master = folder / "lock"
        self._adopt = adopt
        self._fd: int | None = None
        self._path: Path | None = None
        self._inherited: list[int] = []
        self._pid = os.getpid()

    @contextmanager
    def master(self) -> Iterator[None]:
        """Only one process at a time starts, stops or counts. Raises EmbeddedError."""
        self._files.mkdir(mode=0o700, exist_ok=True)
        self._adopt(self._files)
        fd = os.open(self._master, os.O_RDWR | os.O_CREAT, 0o600)
        _open_masters.add(fd)
        try:
            self._adopt(self._master)
            self._wait(fd)
            yield
        finally:
            # Unlocked by name: a copy of the descriptor may live on in a child.
            fcntl.flock(fd, fcntl.LOCK_UN)
            _open_masters.discard(fd)
            os.close(fd)

    def _wait(self, fd: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while not _try_lock(fd):
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"Another process has held {self._master} for {PATIENCE:.0f} seconds while it "
                    "starts or stops the server: end it (fuser -v names it) and try again."
                )
            time.sleep(0.005)

    @property
    def held(self) -> bool:
        """Whether this very process joined: a forked child has not, though it counts."""
        return self._fd is not None and self._pid == os.getpid()

    def join(self) -> None:
        """Count this process as a user. Call it under `master`."""
        if self.held and self._path is not None and self._path.exists():
            return
        if self._fd is not None:
            self._inherited.append(self._fd)
        path = self._files / f"{os.getpid()}-{secrets.token_hex(4)}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._adopt(path)
        self._fd, self._path, self._pid = fd, path, os.getpid()

    def leave(self) -> None:
        """Stop counting this process; children that it forked go on counting."""
        for fd in [self._fd, *self._inherited]:
            if fd is not None:
                os.close(fd)
        self._fd, self._inherited = None, []

    def users(self) -> int:
        """How many handles are alive; removes the stale ones. Call it under `master`."""
        return sum(not self._stale(path) for path in self._files.iterdir())

    def _stale(self, path: Path) -> bool:
        try:
            fd = os.open(path, os.O_RDWR)
        except PermissionError:
            return False
        try:
            if not _try_lock(fd):
                return False
            path.unlink()
            return True
        finally:
            os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

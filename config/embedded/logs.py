"""The log of a server."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LARGEST = 10_000_000
"""Bytes at which the log of the last run is put aside at the next start."""

_ENOUGH = 20_000

# The time and the process, of PostgreSQL and of Valkey.
_PREFIX = re.compile(r"^(\d{4}-\S+ \S+ \w+ \[\d+\]|\d+:\w \d+ \w+ \d{4} \S+)\s+")


class ServerLog:
    """What the server said, since the last start that this object made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = 0

    @contextmanager
    def writing(self) -> Iterator[int]:
        """A descriptor for the server's output."""
        if self.path.exists() and self.path.stat().st_size > LARGEST:
            self.path.replace(self.path.with_suffix(".log.1"))
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._start = os.fstat(fd).st_size
            yield fd
        finally:
            os.close(fd)

    def reason(self) -> str:
        """Its last three lines, in one: a fault is often named before the FATAL that follows."""
        try:
            with self.path.open(errors="replace") as file:
                file.seek(max(self._start, self.path.stat().st_size - _ENOUGH))
                lines = [_PREFIX.sub("", line).strip() for line in file if line.strip()]
        except OSError:
            return ""
        return "; ".join(lines[-3:])

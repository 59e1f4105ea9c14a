"""What one process of the server used: processor time, and memory that is its own."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Self


def processor_seconds(pid: int) -> float:
    """Seconds that a process had a processor; NaN where that cannot be read.

    Linux counts them in nanoseconds. Others' work moves the clock on the wall, and this hardly.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return float("nan")


class PeakMemory:
    """The most memory of its own that a process has while this is open, in MiB."""

    def __init__(self, pid: int) -> None:
        self.mib = 0.0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            # Without what it shares with the server's other processes.
            with suppress(OSError, StopIteration):
                lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
                line = next(x for x in lines if x.startswith("RssAnon:"))
                self.mib = max(self.mib, int(line.split()[1]) / 1024)

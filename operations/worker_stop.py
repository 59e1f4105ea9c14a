"""Whether this worker was told to end. One byte that it shares with the children it forks."""

from __future__ import annotations

import mmap

# Anonymous and shared: what the main process writes, its children read. It must exist before
# they are forked, so this module is imported by the tasks.
_flag = mmap.mmap(-1, 1)


def worker_stop_ask() -> None:
    """From now on runs are given back after the step under way."""
    _flag[0] = 1


def worker_stop_asked() -> bool:
    return _flag[0] == 1

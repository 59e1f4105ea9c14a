"""Processes that end with their parent, however that ends (Linux; elsewhere they stay)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals, *, parent: int | None = None) -> None:
    """Has the kernel send `number` to this process when its parent dies, SIGKILL included.

    Source: prctl(2), PR_SET_PDEATHSIG. Bound to the thread that forked, and kept over exec.

    Args:
        parent: the pid it should be; when it is gone already, this process ends at once.
    """
    if sys.platform != "linux":
        return
    expected = os.getppid() if parent is None else parent
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != expected:
        os.kill(os.getpid(), number)

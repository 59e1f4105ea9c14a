"""One process of the console, started again when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from config.env import BASE_DIR
from config.parent import die_with_parent

LARGEST_LOG = 10_000_000
"""Bytes at which a log is put aside when its process starts."""
LONGEST_DELAY = 30.0
"""Seconds between two starts of a process that keeps dying."""
STEADY = 60.0
"""Seconds after which a process counts as well, and its next death as its first."""


class Child:
    """A process in a session of its own: a Ctrl-C in the terminal is for the console alone."""

    def __init__(self, name: str, command: list[str], *, files: tuple[int, ...] = ()) -> None:
        self.name, self.command, self._files = name, command, files
        self.log = Path(settings.CUSTODY_VAR) / "log" / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._delay = 0.5
        self._again_at = 0.0

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        parent = os.getpid()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=BASE_DIR,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                pass_fds=self._files,
                start_new_session=True,
                # This process has one thread, so Python may run between fork and exec.
                preexec_fn=lambda: die_with_parent(signal.SIGTERM, parent=parent),  # noqa: PLW1509
            )
        self._started = time.monotonic()

    def tend(self, say: Callable[[str], None]) -> None:
        """Notices its death, and starts it again when it is time."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._again_at:
                self.start()
            return
        code = self._process.poll()
        if code is None:
            return
        self._end_group()
        if now - self._started > STEADY:
            self._delay = 0.5
        self._delay = min(self._delay * 2, LONGEST_DELAY)
        self._process, self._again_at = None, now + self._delay
        say(
            f"{self.name} ended ({_told(code)}); it starts again in {self._delay:.0f} s. "
            f"Its log: {self.log}"
        )

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def terminate(self) -> None:
        """Asks it to end. The processes it forked are its own business."""
        if self._process is not None and self.alive:
            self._process.terminate()

    def kill(self) -> None:
        """Ends it and whatever it forked, now."""
        if self._process is not None:
            self._end_group()
            self._process.wait()

    def _end_group(self) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _told(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"

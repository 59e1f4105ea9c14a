"""Sealers in processes of their own, to be killed: forked from one that has loaded everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("CUSTODY_KEYS", "CUSTODY_ANCHORS", "CUSTODY_STORAGE")
LEAVES, STATEMENTS = 24, 8
"""Of a step, so that there are many."""


class Sealers:
    """Those of one test."""

    def __init__(self, url: str) -> None:
        environment = {
            **os.environ,
            **{name: str(getattr(settings, name)) for name in FOLDERS},
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.auditing.sealers"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._running: set[int] = set()
        self._said()

    def _said(self) -> str:
        assert self._process.stdout
        said = self._process.stdout.readline()
        assert said, "the process that makes sealers died"
        return said

    def begin(self, moment: int = 0) -> int:
        """Seals again and again, over every server there is; the process.

        Args:
            moment: before or after which statement or flush it kills itself; 0: never.
        """
        assert self._process.stdin
        self._process.stdin.write(f"{moment}\n")
        self._process.stdin.flush()
        pid = int(self._said())
        self._running.add(pid)
        return pid

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.wait(pid)

    def wait(self, pid: int) -> None:
        """Until it is dead."""
        give_up = time.monotonic() + 20
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < give_up, "it should have killed itself"
            time.sleep(0.002)
        self._running.discard(pid)

    def end(self) -> None:
        # They first: whoever lives holds the pipe that is read to its end.
        self._process.kill()
        for pid in self._running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.communicate()


class Moments:
    """Kills its process before (even) or after (odd) the statement or flush of a number."""

    def __init__(self, moment: int) -> None:
        self._moment = moment
        self._count = 0

    def _next(self) -> None:
        self._count += 1
        if self._count == self._moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self._next()
        done = execute(*arguments)
        self._next()
        return done

    def flush(self, flush: Callable[[int], None]) -> Callable[[int], None]:
        def flushed(file: int) -> None:
            self._next()
            flush(file)
            self._next()

        return flushed


def seal_for_ever(moment: int) -> None:
    from django.db import InterfaceError, OperationalError, connection

    from auditing.services.audit_seal import audit_seal

    moments = Moments(moment)
    os.fsync = moments.flush(os.fsync)
    with connection.execute_wrapper(moments.statement):
        while True:
            try:
                audit_seal()
            except (OperationalError, InterfaceError):
                connection.close()
                time.sleep(0.02)


def main() -> None:
    import django

    django.setup()
    from auditing.services import audit_seal, seal_sections, statement_summarise

    for name in FOLDERS:
        setattr(settings, name, Path(os.environ[name]))
    audit_seal.MOST = seal_sections.MOST = LEAVES
    seal_sections.SPAN = 2 * LEAVES
    statement_summarise.TABLES, statement_summarise.STATEMENTS = 2, STATEMENTS
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        if not (pid := os.fork()):
            sys.stdin.close()
            seal_for_ever(int(line))
        print(pid, flush=True)


if __name__ == "__main__":
    main()

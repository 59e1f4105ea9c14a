"""Purging workers in processes of their own, to be killed, stopped and continued."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0


def wait_until(is_so: Callable[[], Any], what: str) -> None:
    give_up = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < give_up, f"it never came to this: {what}"
        time.sleep(0.005)


def environment(database_url: str) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": str(ROOT),
        "CUSTODY_STORAGE": str(settings.CUSTODY_STORAGE),
        "CUSTODY_KEYS": str(settings.CUSTODY_KEYS),
    }


def process_facts(pid: int | str) -> list[str]:
    """State, parent, ... of a process, as /proc has them. Raises OSError when there is none."""
    return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()


@dataclass
class Worker:
    pid: int
    out: Path

    def said(self) -> list[dict[str, Any]]:
        if not self.out.exists():
            return []
        lines = self.out.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line[-1] == "\n"]

    def wait_for(self, point: str) -> None:
        wait_until(lambda: {"at": point} in self.said() or not self.alive, f"{point}: {self.out}")
        assert {"at": point} in self.said(), self.out.read_text()

    @property
    def alive(self) -> bool:
        return self.state not in ("", "Z", "X")

    @property
    def state(self) -> str:
        """`R`, `S`, `T` for stopped ...; empty when there is no such process."""
        with suppress(OSError):
            return process_facts(self.pid)[0]
        return ""

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not self.alive, "killed")

    def wait_stopped(self) -> None:
        wait_until(lambda: self.state in ("T", ""), "stopped")
        assert self.state == "T", self.out.read_text()

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> dict[str, Any]:
        """What became of its purge: `end` is the run's state, `refused`, or `raised`."""
        wait_until(lambda: not self.alive, f"ended: {self.out}")
        last = self.said()[-1:]
        assert [set(each) for each in last] == [{"end", "error"}], self.out.read_text()
        return last[0]


class Nursery:
    """Makes workers on one database."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder, self.database_url = folder, database_url
        self.workers: list[Worker] = []
        self._made = 0
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("crash_worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(database_url),
        )

    def work(
        self,
        policy: str = "events",
        *,
        at: str = "",
        number: int = 1,
        then: str = "hang",
        seconds: float = 600,
        pages: int = 2,
        records: int = 40,
        lease: float = 30,
        room: int | None = None,
        job: str = "purge",
    ) -> Worker:
        """A new worker; at the `number`th time it comes to `at` it hangs or stops.

        Args:
            room: bytes that the disk takes.
            job: `purge`, or `archive_expire` of what is past its term.
        """
        self._made += 1
        out = self.folder / f"worker-{self._made}"
        order = {
            "policy": policy,
            "at": at,
            "number": number,
            "then": then,
            "seconds": seconds,
            "pages": pages,
            "records": records,
            "lease": lease,
            "room": room,
            "job": job,
            "out": str(out),
            "storage": str(settings.CUSTODY_STORAGE),
            "keys": str(settings.CUSTODY_KEYS),
            "lock": settings.CUSTODY_OBJECT_LOCK,
            "recipients": settings.CUSTODY_ARCHIVE_RECIPIENTS,
        }
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        worker = Worker(json.loads(self._process.stdout.readline())["pid"], out)
        self.workers.append(worker)
        return worker

    def kill(self) -> None:
        for worker in self.workers:
            worker.kill()
        self.workers.clear()

    def close(self) -> None:
        self.kill()
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=PATIENCE)
        self._process.stdout.close()

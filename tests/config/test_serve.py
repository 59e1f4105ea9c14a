"""`manage.py serve`: everything starts together, one signal ends it, nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from tests import prepared
from tests.own_server import migrate

from .console import ROOT, Console
from .embedded_place import kill, masters, servers, wait_until

PATIENCE = 90


@dataclass
class Serving:
    """`manage.py serve` in a process group of its own, as a terminal has it."""

    console: Console
    port: int
    process: subprocess.Popen[str]
    output: Path

    @property
    def said(self) -> str:
        return self.output.read_text()

    def wait_ready(self) -> None:
        wait_until(lambda: "Custody is at" in self.said or not self.alive, PATIENCE)
        assert self.alive, self.said

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def get(self, path: str) -> tuple[int, str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
            return answer.status, answer.read().decode(errors="replace")

    def child(self, words: str) -> int | None:
        """The process that was started by serve itself with these words in its command line."""
        for pid in everything(self.console.var):
            if words in command(pid) and parent(pid) == self.process.pid:
                return pid
        return None

    def wait_child(self, words: str, other_than: int | None = None) -> int:
        wait_until(lambda: self.child(words) not in (None, other_than), PATIENCE)
        pid = self.child(words)
        assert pid is not None
        return pid

    def log(self, name: str) -> str:
        path = self.console.var / "log" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def ended(self) -> int:
        code = self.process.wait(timeout=PATIENCE)
        wait_until(lambda: not everything(self.console.var), 10)
        return code


@pytest.fixture(scope="module")
def console(
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
) -> Console:
    """Migrated, with PostgreSQL and broker of its own."""
    console = Console(tmp_path_factory.mktemp("console") / "var")
    with django_db_blocker.unblock():
        prepared.put_migrated(console.var / "postgres", prepared.tested_version(), migrate)
    assert everything(console.var) == []
    return console


@pytest.fixture
def serving(console: Console, tmp_path: Path) -> Iterator[Serving]:
    port = free_port()
    output = tmp_path / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--port", str(port), "--workers", "1"],
            cwd=ROOT,
            env=console.environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    yield Serving(console, port, process, output)
    process.kill()
    process.wait()
    kill(everything(console.var))


def test_ctrl_c_ends_the_console_its_workers_and_its_servers(serving: Serving) -> None:
    serving.wait_ready()
    assert f"http://127.0.0.1:{serving.port}" in serving.said
    status, page = serving.get("/admin/login/")
    assert status == 200
    [style] = re.findall(r'href="(/static/unfold/css/styles[^"]*)"', page)[:1]
    assert serving.get(style)[0] == 200
    wait_until(lambda: len(prefork_children(serving)) == 2, PATIENCE)
    wait_until(lambda: serving.child("celery -A config.celery beat") is not None, PATIENCE)
    assert len(servers(serving.console.var)) > 1

    began = time.monotonic()
    os.killpg(serving.process.pid, signal.SIGINT)
    assert serving.ended() == 0
    assert time.monotonic() - began < 60
    assert "Stopped." in serving.said
    assert "Traceback" not in serving.said


def test_what_dies_is_started_again_and_said_and_sigterm_ends_it_all(serving: Serving) -> None:
    serving.wait_ready()
    wait_until(lambda: len(prefork_children(serving)) == 2, PATIENCE)
    forked = prefork_children(serving)
    for words in ("celery -A config.celery beat", "--queues=custody-runs", "gunicorn"):
        before = serving.wait_child(words)
        os.kill(before, signal.SIGKILL)
        serving.wait_child(words, other_than=before)
    for name in ("beat", "worker", "web"):
        assert f"{name} ended (SIGKILL); it starts again" in serving.said
    assert len([pid for pid in forked if "--queues" in command(pid)]) == 1

    for name in ("postgres", "broker"):
        folder = serving.console.var / name
        kill(servers(folder))
        wait_until(lambda folder=folder: len(masters(folder)) == 1, PATIENCE)
    wait_until(lambda: answers(serving), PATIENCE)

    serving.process.terminate()
    assert serving.ended() == 0
    assert "Traceback" not in serving.said


def test_kill_9_of_the_parent_ends_everything_else(serving: Serving) -> None:
    serving.wait_ready()
    wait_until(lambda: len(prefork_children(serving)) == 2, PATIENCE)
    wait_until(lambda: "beat: Starting" in serving.log("beat") or beat_runs(serving), PATIENCE)
    serving.process.kill()
    serving.process.wait()
    wait_until(lambda: not everything(serving.console.var), PATIENCE)


def test_a_port_in_use_is_said_before_anything_starts(console: Console) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = console.run("serve", "--port", str(port))
    assert done.returncode == 1
    assert re.search(rf"Port {port} is in use: choose another with PORT=\d+", done.stderr)
    assert "Starting" not in done.stderr
    assert "Traceback" not in done.stderr
    assert everything(console.var) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "70000"], "no port"),
        (["--bind", "203.0.113.1"], "no address of this machine"),
        (["--bind", "no such host"], "no address of this machine"),
    ],
)
def test_an_address_that_cannot_be_is_said(console: Console, words: list[str], said: str) -> None:
    done = console.run("serve", *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_migrations_it_says_so(tmp_path: Path) -> None:
    console = Console(tmp_path / "var")
    done = console.run("serve", "--port", str(free_port()))
    assert done.returncode == 1
    assert "manage.py migrate" in done.stderr
    assert everything(console.var) == []


# Looking at processes.


def everything(var: Path) -> list[int]:
    """Every process of this console, and every server in its folder."""
    mark = f"CUSTODY_VAR={var}".encode()
    found = set(servers(var))
    for pid in (int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()):
        with suppress(OSError):
            if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.add(pid)
    return sorted(found)


def command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def prefork_children(serving: Serving) -> list[int]:
    """One of the worker, one of the chores."""
    workers = [serving.child(f"--queues={queue}") for queue in ("custody-runs", "custody ")]
    return [
        pid
        for pid in everything(serving.console.var)
        if parent(pid) in workers and "--queues" in command(pid)
    ]


def beat_runs(serving: Serving) -> bool:
    return serving.child("celery -A config.celery beat") is not None


def answers(serving: Serving) -> bool:
    with suppress(OSError):
        return serving.get("/admin/login/")[0] == 200
    return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port

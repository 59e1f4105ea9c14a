"""Real servers in temporary folders, and real processes that use them."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {"fsync": "off"}

USER = """
import json, os, signal, sys
from pathlib import Path
import psycopg
from config.embedded import EmbeddedBroker, EmbeddedError, EmbeddedPostgres

kind, folder = sys.argv[1], Path(sys.argv[2])
# What a shell starts in the background ignores Ctrl-C, and so would we.
signal.signal(signal.SIGINT, signal.default_int_handler)
if kind == "broker":
    server = EmbeddedBroker(folder)
else:
    server = EmbeddedPostgres(folder, settings={"fsync": "off"}, sync=False)

def fork(holding=False):
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        if holding:
            server.hold()
        while True:
            signal.pause()
    return pid

def ask():
    with psycopg.connect(server.url) as session:
        return session.execute("SELECT 1").fetchone()[0]

verbs = {
    "ask": ask,
    "hold": server.hold,
    "release": server.release,
    "running": server.running,
    "fork": fork,
    "fork a holder": lambda: fork(holding=True),
}
for line in sys.stdin:
    try:
        answer = {"answer": verbs[line.strip()]()}
    except EmbeddedError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
"""


@dataclass
class User:
    """A process that uses an embedded server, told what to do line by line."""

    process: subprocess.Popen[str]

    def tell(self, verb: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{verb}\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the process ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def do(self, verb: str) -> Any:
        self.tell(verb)
        answer = self.hear()
        assert "error" not in answer, answer
        return answer["answer"]

    def fails(self, verb: str) -> str:
        self.tell(verb)
        return str(self.hear()["error"])

    def leave(self) -> None:
        """End as a program ends."""
        assert self.process.stdin
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0
        assert self.process.stdout
        self.process.stdout.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def clean(self) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            # What was written to a process that is dead cannot be flushed.
            with suppress(OSError):
                pipe and pipe.close()


def servers(folder: Path) -> list[int]:
    """Every process of PostgreSQL or Valkey that has to do with the folder."""
    return [pid for pid in map(int, _numbers(Path("/proc"))) if _serves(pid, folder)]


def masters(folder: Path) -> list[int]:
    """Those that were started by us, not by the server itself."""
    return [pid for pid in servers(folder) if str(folder) in _words(pid)]


def _numbers(folder: Path) -> Iterator[str]:
    return (entry.name for entry in folder.iterdir() if entry.name.isdigit())


def _words(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def _serves(pid: int, folder: Path) -> bool:
    with suppress(OSError):
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        if name not in {"postgres", "initdb", "valkey-server"}:
            return False
        works_in = Path(f"/proc/{pid}/cwd").readlink()
        words = _words(pid)
        # No words: it ended, and init has not looked yet.
        return bool(words) and (works_in.is_relative_to(folder) or f"{folder}/" in words)
    return False


def kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(_words(pid) for pid in pids))


def wait_until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        # Who looks at every process of the machine takes it from them.
        time.sleep(0.02)


@dataclass
class Place:
    """A folder for one server, and the processes that use it."""

    folder: Path
    users: list[User] = field(default_factory=list)

    def user(
        self,
        kind: str = "postgres",
        *,
        program: Sequence[str] = (sys.executable,),
        login: str | None = None,
        path: str = os.pathsep.join(map(str, [ROOT, *sys.path])),
    ) -> User:
        process = subprocess.Popen(
            [*program, "-c", USER, kind, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
            **as_login(login),
        )
        user = User(process)
        self.users.append(user)
        return user

    def clean(self) -> None:
        for user in self.users:
            user.clean()

    def servers(self) -> list[int]:
        return servers(self.folder)

    def masters(self) -> list[int]:
        return masters(self.folder)


def copy(made: Path, folder: Path) -> None:
    """A stopped server elsewhere, owners kept; its socket's folder is made at the start."""
    # WAL is nearly all zeros.
    subprocess.run(["cp", "-a", "--sparse=always", str(made), str(folder)], check=True)
    (folder / "run").rmdir()


def as_login(login: str | None) -> dict[str, Any]:
    """What makes subprocess run a program as this user."""
    if login is None:
        return {}
    entry = pwd.getpwnam(login)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

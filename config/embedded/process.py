"""Starting, recognising and ending the processes of a server."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from .account import Account
from .errors import EmbeddedError
from .launch import REFUSED

_PROC = Path("/proc")
_HAS_PROC = (_PROC / "self").exists()
_KEPT = ("PATH", "LD_LIBRARY_PATH", "TZ")


def command_line(pid: int) -> list[str]:
    """The arguments of a process; empty when it is gone or a zombie."""
    if _HAS_PROC:
        try:
            words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return []
        return [os.fsdecode(word) for word in words if word]
    found = subprocess.run(  # noqa: S603
        ["ps", "-ww", "-o", "stat=,command=", "-p", str(pid)],  # noqa: S607
        check=False,
        capture_output=True,
        text=True,
    ).stdout.strip()
    state, _, command = found.partition(" ")
    return [] if not state or state.startswith("Z") else command.split()


def runs(pid: int, mark: Path) -> bool:
    """Whether the process is the server whose arguments name `mark`: a pid may be reused."""
    words = command_line(pid)
    if _HAS_PROC:
        return str(mark) in words
    # ps does not tell the blanks in an argument from those between arguments.
    return f" {mark} " in f"{' '.join(words)} "


def read_pid(path: Path) -> int | None:
    """The number in the first line of a pid file; None when there is none."""
    try:
        first = path.read_text(errors="replace").partition("\n")[0].strip()
    except FileNotFoundError:
        return None
    return abs(int(first)) if first.lstrip("-").isdigit() and int(first) else None


def end_strays(name: str, folder: Path) -> None:
    """End the processes called `name` that work in `folder` (on Linux; elsewhere they stay)."""
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for pid in _strays(name, folder):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + 5
        while any(_strays(name, folder)):
            if time.monotonic() > deadline:
                break
            time.sleep(0.005)
        else:
            return


def _strays(name: str, folder: Path) -> Iterator[int]:
    for entry in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "comm").read_text().strip() != name:
                continue
            if (entry / "cwd").readlink() == folder:
                yield int(entry.name)


def end(pid: int, mark: Path, steps: Sequence[tuple[signal.Signals, float]]) -> bool:
    """Send each signal in turn and wait its seconds; True as soon as the server is gone."""
    for number, seconds in steps:
        if not runs(pid, mark):
            return True
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not runs(pid, mark):
                return True
            time.sleep(0.005)
    return not runs(pid, mark)


def run(
    command: Sequence[str | Path], *, account: Account | None, reach: Sequence[Path]
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as `account`, output captured. Raises EmbeddedError."""
    with _launcher(command, account=account, reach=reach) as child:
        output, errors = child.communicate()
    if child.returncode == REFUSED:
        raise EmbeddedError(errors.strip())
    return subprocess.CompletedProcess(child.args, child.returncode, output, errors)


def launch(
    command: Sequence[str | Path],
    *,
    account: Account | None,
    reach: Sequence[Path],
    log: int,
    pid_file: int,
    environment: Mapping[str, str],
) -> None:
    """Leave a server running in a session of its own. Raises EmbeddedError.

    Its output goes to the descriptor `log`, its pid to `pid_file`, which stays locked until the
    program is executed, even when this process is killed meanwhile (`settle`).
    """
    fcntl.flock(pid_file, fcntl.LOCK_EX)
    os.ftruncate(pid_file, 0)
    detach = {"log": log, "pid": pid_file}
    with _launcher(
        command, account=account, reach=reach, detach=detach, environment=environment
    ) as child:
        _, errors = child.communicate()
    # The launcher is over: a copy that another thread's fork took must not prolong the lock.
    fcntl.flock(pid_file, fcntl.LOCK_UN)
    if child.returncode != 0:
        raise EmbeddedError(errors.strip() or f"{command[0]} could not be launched.")


def settle(pid_file: Path) -> None:
    """Wait for a launch that the process which asked for it did not live to see."""
    with suppress(FileNotFoundError), pid_file.open() as file:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return
            time.sleep(0.005)


def _launcher(
    command: Sequence[str | Path],
    *,
    account: Account | None,
    reach: Sequence[Path],
    detach: dict[str, int] | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    request = {
        "account": asdict(account) if account else None,
        "reach": [str(path) for path in reach],
        "detach": detach,
    }
    # Nothing else of our environment: PG* and LC_* change what the programs do, and secrets
    # of the console are no business of a server that may run as another user.
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return subprocess.Popen(  # noqa: S603
        [
            sys.executable or "python3",
            "-I",
            "-S",
            str(Path(__file__).with_name("launch.py")),
            json.dumps(request),
            *map(str, command),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        pass_fds=tuple((detach or {}).values()),
        env={"PATH": os.defpath, "LC_ALL": "C", **kept, **(environment or {})},
    )

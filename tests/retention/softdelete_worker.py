"""Runs commands in processes of their own, each killed at one of its statements.

Started by `Killed`: forking is a hundred times cheaper than starting Python and Django. A line is
JSON: the command with its arguments, and before or after which of the statements that change
something it gets SIGKILL. The answer tells whether it was, and how many there were.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Killed:
    """Makes such processes on one database."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def run(self, *command: str, at: int, after: bool = False) -> bool:
        """Whether it was killed; False: it came to its end before."""
        assert self._process.stdin
        assert self._process.stdout
        order = {"command": command, "at": at, "after": after}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert answer["code"] in (0, -signal.SIGKILL), answer
        return bool(answer["code"])

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


class _Statements:
    """Counts those that change something, and ends the process at one of them."""

    def __init__(self, at: int, after: bool) -> None:
        self.at, self.after, self.count = at, after, 0

    def __call__(self, execute: Any, query: Any, params: Any, many: bool, context: Any) -> Any:
        text = query if isinstance(query, str) else query.as_string(None)
        if "custody.softdelete_shield" not in text and text.lstrip().startswith(
            ("SELECT", "WITH", "--", "RESET", "\n")
        ):
            return execute(query, params, many, context)
        self.count += 1
        if self.count == self.at and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        found = execute(query, params, many, context)
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        return found


def _child(order: dict[str, Any]) -> int:
    from django.core.management import call_command
    from django.db import connection

    try:
        with connection.execute_wrapper(_Statements(order["at"], order["after"])):
            call_command(*order["command"], stdout=StringIO(), stderr=StringIO())
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def main() -> None:
    import django

    django.setup()
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            os._exit(_child(json.loads(line)))
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()

"""What `make test` runs: every test on PostgreSQL 18, and beside it, on 16, those whose SQL another
version or an ordinary role could change.

The second goes on in one process while the first has two, so that neither waits for the longest
file of the other. What it prints is shown after the first has ended.
"""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

PYTEST = [sys.executable, "-m", "pytest", "-q"]
# Each file is one worker's, the longest first (order.py).
WORKERS = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
OLDER = {"CUSTODY_TEST_POSTGRES": "16"}
PLAIN = {**OLDER, "CUSTODY_TEST_ROLE": "plain"}


def marked(*names: str) -> list[str]:
    """The files in which something bears each mark: others need not even be looked into."""
    texts = {str(file): file.read_text() for file in sorted(Path("tests").rglob("test_*.py"))}
    return [
        file
        for file, text in texts.items()
        if all(re.search(rf"\bmark\.{name}\b", text) for name in names)
    ]


def older(said: queue.SimpleQueue[str | int]) -> None:
    """Both passes on PostgreSQL 16: lines as they are printed, then the exit code."""
    worst = 0
    for about, settings, words in (
        (
            "Again, what a version or a role could change, on PostgreSQL 16, by no superuser:\n",
            PLAIN,
            ["-m", "sql and not superuser", *marked("sql")],
        ),
        (
            "And what of it needs a superuser or a server of its own, on PostgreSQL 16:\n",
            OLDER,
            ["-m", "sql and superuser", *marked("sql", "superuser")],
        ),
    ):
        said.put(about)
        with subprocess.Popen(
            [*PYTEST, *words],
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout
            for line in process.stdout:
                said.put(line)
        worst = worst or process.returncode
    said.put(worst)


def lines(said: queue.SimpleQueue[str | int]) -> Iterator[str | int]:
    while True:
        yield (each := said.get())
        if isinstance(each, int):
            return


def main() -> int:
    said: queue.SimpleQueue[str | int] = queue.SimpleQueue()
    threading.Thread(target=older, args=[said], daemon=True).start()
    try:
        code = subprocess.run([*PYTEST, *WORKERS], check=False).returncode
        for each in lines(said):
            if isinstance(each, int):
                return code or each
            print(each, end="", flush=True)
    except KeyboardInterrupt:
        # Whoever pressed Ctrl-C interrupted the passes as well.
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())

"""Writes two files into a storage and is killed before its N-th call that touches the disk.

Run as `python -m tests.operations.storage_child ROOT N`; prints the number of calls when it was not
killed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from operations.storage.folder import FolderStorage

PATHS = ("archives/7/part-1.csv.zst", "archives/7/part-1.json")
CONTENT = b"a row of the archive\n" * 50_000


def main() -> None:
    root, deadly = Path(sys.argv[1]), int(sys.argv[2])
    calls = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    for name in ("mkdir", "open", "write", "fsync", "link", "unlink", "close"):
        setattr(os, name, counted(getattr(os, name)))
    storage = FolderStorage(root)
    drafts = [storage.draft(path, tag=str(deadly)) for path in PATHS]
    for draft in drafts:
        draft.write(CONTENT)
    storage.commit_all(drafts)
    sys.stdout.write(f"{calls}\n")


if __name__ == "__main__":
    main()

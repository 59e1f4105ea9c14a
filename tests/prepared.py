"""Data folders of PostgreSQL, made once a session and copied: a copy costs a hundredth of initdb
and the migrations, and whoever needs a server of its own is seldom about those.

Copies have the same system identifier, as a server has that was stopped and copied.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from config.embedded import EmbeddedPostgres

from . import environment

_NO_SYNC = {"fsync": "off", "full_page_writes": "off", "archive_mode": "off"}


def tested_version() -> int:
    return int(os.environ.get("CUSTODY_TEST_POSTGRES", "18"))


def put_empty(folder: Path, version: int) -> None:
    """Makes `folder` that of an EmbeddedPostgres which was started and stopped once."""
    _copy(_made(f"empty-{version}", version, lambda _: None), folder)


def put_migrated(folder: Path, version: int, migrate: Callable[[EmbeddedPostgres], None]) -> None:
    """The same with the console's tables, which `migrate` makes where nobody did yet."""
    _copy(_made(f"migrated-{version}", version, migrate), folder)


def _made(name: str, version: int, fill: Callable[[EmbeddedPostgres], None]) -> Path:
    folder = environment.place() / "prepared" / name
    folder.parent.mkdir(exist_ok=True)
    # Two workers may want the same.
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder.parent / f"{name}.done"
        if not done.exists():
            if not name.startswith("empty"):
                put_empty(folder, version)
            server = EmbeddedPostgres(folder, version=version, settings=_NO_SYNC, sync=False)
            server.hold()
            try:
                fill(server)
            finally:
                server.release()
            done.touch()
    return folder


def _copy(made: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(made.stat().st_mode)
    # WAL is nearly all zeros. Owners are kept.
    words = ["cp", "-a", "--sparse=always", str(made / "data"), str(folder / "data")]
    subprocess.run(words, check=True)

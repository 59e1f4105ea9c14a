"""A database server of one test's own, to be killed."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from django.core.management import call_command
from django.db import connection, connections

from config.embedded import EmbeddedPostgres

from . import environment, prepared


@contextmanager
def own_server(
    *, version: int = 0, settings: Mapping[str, str] | None = None, empty: bool = False
) -> Iterator[EmbeddedPostgres]:
    """A server to which Django's connections go meanwhile.

    Args:
        version: another than the one that is tested with.
        empty: without the console's tables, and with a system identifier that no other has.
    """
    folder = environment.new_folder()
    version = version or prepared.tested_version()
    if not empty:
        prepared.put_migrated(folder / "postgres", version, migrate)
    made = EmbeddedPostgres(folder / "postgres", version=version, settings=settings, sync=False)
    made.hold()
    try:
        with _connected(made):
            yield made
    finally:
        made.release()
        shutil.rmtree(folder, ignore_errors=True)


def migrate(server: EmbeddedPostgres) -> None:
    """Makes the console's tables there."""
    with _connected(server):
        call_command("migrate", verbosity=0)


@contextmanager
def _connected(server: EmbeddedPostgres) -> Iterator[None]:
    place = server.conninfo()
    usual = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict.update(
        HOST=place["host"], PORT=place["port"], USER=place["user"], NAME=place["dbname"]
    )
    _forget_version()
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(usual)
        _forget_version()


def _forget_version() -> None:
    # The proxy has a namespace of its own.
    connections["default"].__dict__.pop("pg_version", None)


def kill_server(server: EmbeddedPostgres) -> None:
    """SIGKILL for the postmaster and every process of it, at once."""
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGSTOP)  # So that it makes no new ones meanwhile.
    children = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _parent_of(entry.name) == postmaster
    ]
    for pid in [postmaster, *children]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    connection.close()


def _parent_of(pid: str) -> int | None:
    with suppress(OSError):
        facts = (Path("/proc") / pid / "stat").read_text().rpartition(")")[2].split()
        return int(facts[1])
    return None

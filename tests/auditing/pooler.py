"""PgBouncer in transaction mode before the test's own database, with a single server connection."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from tests import environment

_PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
_PORT = 6432
_CONFIG = """
[databases]
pooled = host={host} port={port} dbname={dbname} user={user}
[pgbouncer]
unix_socket_dir = {folder}
listen_port = {own_port}
auth_type = any
pool_mode = transaction
default_pool_size = 1
client_login_timeout = 20
ignore_startup_parameters = extra_float_digits, options
logfile = {folder}/log
"""


@dataclass
class Pooler:
    folder: Path
    made: list[psycopg.Connection]

    def client(self) -> psycopg.Connection:
        """One that prepares nothing: this old PgBouncer does not know prepared statements."""
        self.made.append(
            psycopg.connect(
                host=str(self.folder),
                port=_PORT,
                dbname="pooled",
                user="anybody",
                autocommit=True,
                prepare_threshold=None,
            )
        )
        return self.made[-1]


@contextmanager
def pooler(user: str) -> Iterator[Pooler]:
    """Every client is `user` of the database."""
    if _PROGRAM is None:
        pytest.skip("pgbouncer is not installed: what stands behind a pooler did not run")
    parameters = connection.get_connection_params()
    if not str(parameters.get("host", "")).startswith("/"):
        pytest.skip("the server is not one that pgbouncer may reach by its socket")
    # On the file system of the server's socket, which gets a second name in it.
    folder = environment.new_folder()
    # Only root and its own user come to the server's socket: a second name of it for PgBouncer.
    name = f".s.PGSQL.{parameters['port']}"
    os.link(Path(parameters["host"]) / name, folder / name)
    config = folder / "pgbouncer.ini"
    config.write_text(
        _CONFIG.format(
            host=folder,
            port=parameters["port"],
            dbname=parameters["dbname"],
            user=user,
            folder=folder,
            own_port=_PORT,
        )
    )
    process = _start(folder, config, Path(parameters["host"]))
    found = Pooler(folder, [])
    try:
        _wait(found, process)
        yield found
    finally:
        for client in found.made:
            client.close()
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def _start(folder: Path, config: Path, socket_folder: Path) -> subprocess.Popen[bytes]:
    """As the user who may pass to the server's socket; PgBouncer never runs as root."""
    owner = socket_folder.stat()
    account = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    if account:
        os.chown(folder, owner.st_uid, owner.st_gid)
        os.chown(config, owner.st_uid, owner.st_gid)
    return subprocess.Popen(
        [str(_PROGRAM), str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **account,  # type: ignore[arg-type]
    )


def _wait(found: Pooler, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + 30
    while True:
        try:
            found.client().execute("SELECT")
            return
        except psycopg.OperationalError:
            log = found.folder / "log"
            said = log.read_text() if log.exists() else ""
            assert process.poll() is None and time.monotonic() < give_up, said  # noqa: PT018
            time.sleep(0.05)

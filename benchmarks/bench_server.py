"""What benchmarks stand on: a server and a database of their own, and programs run against it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def bench_server(given: str | None) -> Iterator[tuple[str, Path, Path]]:
    """The server's address, the folder of its programs and one for files.

    Args:
        given: address of an existing server, and a role that may create databases on it.
    """
    from config.embedded import EmbeddedPostgres

    with tempfile.TemporaryDirectory(prefix="custody-bench-") as name:
        folder = Path(name)
        server = EmbeddedPostgres(
            folder / "postgres",
            # Nothing of the server's own work is to fall into a case by chance.
            settings={"autovacuum": "off", "max_wal_size": "8GB", "checkpoint_timeout": "1h"},
        )
        if given:
            yield given, server.bin, folder
            return
        server.hold()
        try:
            yield server.url, server.bin, folder
        finally:
            server.release()


@contextmanager
def bench_database(server: str) -> Iterator[str]:
    """The address of a new database, gone afterwards."""
    database = f"custody_bench_{os.getpid()}"
    name = sql.Identifier(database)
    with psycopg.connect(server, autocommit=True) as session:
        session.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        try:
            yield make_conninfo(server, dbname=database)
        finally:
            session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def bench_environment(url: str, folder: Path) -> dict[str, str]:
    """Of a console on the database, with its files in the folder."""
    return {
        **os.environ,
        "DATABASE_URL": url,
        "CUSTODY_VAR": str(folder),
        "CUSTODY_ENV_FILE": str(folder / "none"),
        "CELERY_BROKER_URL": "memory://",
    }


def run(command: list[object], environment: dict[str, str]) -> str:
    """What the program printed. Ends the benchmark when it fails."""
    done = subprocess.run(
        [str(x) for x in command], env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def manage(arguments: list[object], environment: dict[str, str]) -> str:
    return run([sys.executable, ROOT / "manage.py", *arguments], environment)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

"""Real workers and a real broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from kombu import Connection
from psycopg.conninfo import make_conninfo

from config.celery import app
from config.embedded import EmbeddedBroker

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0


def wait_until(is_so: Callable[[], Any], what: str) -> None:
    give_up = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < give_up, f"it never came to this: {what}"
        time.sleep(0.02)


def database_url() -> str:
    """Of the test's own database."""
    parameters = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    return make_conninfo("", **{name: parameters[name] for name in names if parameters.get(name)})


@dataclass
class Workshop:
    """Workers on the test's database, called through a broker of the test's own."""

    broker: EmbeddedBroker
    folder: Path
    made: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def worker(self) -> subprocess.Popen[bytes]:
        log = self.folder / f"worker-{len(self.made)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "celery", "-A", "config.celery", "worker"),
                    *("--concurrency=2", "--loglevel=INFO", "--include=tests.operations.slow_kind"),
                    *("--without-gossip", "--without-mingle", f"--hostname=w{len(self.made)}@%h"),
                ],
                cwd=ROOT,
                env={
                    **os.environ,
                    "DATABASE_URL": database_url(),
                    "CELERY_BROKER_URL": self.broker.url,
                    "CUSTODY_VAR": str(self.folder),
                    "CUSTODY_STORAGE": str(settings.CUSTODY_STORAGE),
                    "CUSTODY_KEYS": str(settings.CUSTODY_KEYS),
                    "CUSTODY_ANCHORS": str(settings.CUSTODY_ANCHORS),
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.made.append(process)
        wait_until(lambda: b"ready." in log.read_bytes() or process.poll() is not None, "ready")
        assert process.poll() is None, log.read_text()
        return process

    def send(self, task: str, **arguments: Any) -> None:
        options = {"global_keyprefix": "custody:"}
        with Connection(self.broker.url, transport_options=options) as link:
            app.send_task(task, kwargs=arguments, connection=link, ignore_result=True)

    def close(self) -> None:
        for process in self.made:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

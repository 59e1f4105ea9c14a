"""What the tests stand on, made before Django reads its settings: one embedded server a session.

`CUSTODY_TEST_POSTGRES=16` takes the older server, `CUSTODY_TEST_ROLE=plain` connects as a role
that is neither superuser nor above row-level security: what is marked `superuser` is skipped then.
With DATABASE_URL set, that server is used.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PLAIN_ROLE = "custody_plain"
# Nothing of a test has to survive a power cut, and nobody takes backups.
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "archive_mode": "off",
    "checkpoint_timeout": "1h",
}


# Where there is enough memory, files are there: each audited table is a hundred of them.
_MEMORY = Path("/dev/shm")
_ENOUGH = 6 * 2**30


def _start() -> None:
    os.environ["CUSTODY_TEST_FOLDER"] = _roomy()
    var = new_folder()
    os.environ["CUSTODY_VAR"] = str(var)
    # Where `serve` collects the static files: looked for at the first request.
    (var / "static").mkdir()
    os.environ["CUSTODY_ENV_FILE"] = str(var / "no.env")
    os.environ.setdefault("CELERY_BROKER_URL", "memory://")
    atexit.register(_remove, var, os.getpid())
    if not os.environ.get("DATABASE_URL"):
        _embedded(var)


def place() -> Path:
    """The folder of this session, of all its processes; gone after it."""
    return Path(os.environ["CUSTODY_VAR"])


def new_folder() -> Path:
    """For a server of one test's own, which removes it."""
    return Path(tempfile.mkdtemp(prefix="custody-test-", dir=os.environ["CUSTODY_TEST_FOLDER"]))


def _roomy() -> str:
    with suppress(OSError):
        facts = Path("/proc/meminfo").read_text()
        available = int(facts.partition("MemAvailable:")[2].split()[0]) * 1024
        if min(available, shutil.disk_usage(_MEMORY).free) > _ENOUGH and os.access(
            _MEMORY, os.W_OK
        ):
            return str(_MEMORY)
    return tempfile.gettempdir()


def is_plain() -> bool:
    return os.environ.get("CUSTODY_TEST_ROLE") == "plain"


def _embedded(var: Path) -> None:
    import psycopg

    from config.embedded import EmbeddedPostgres

    version = int(os.environ.get("CUSTODY_TEST_POSTGRES", "18"))
    summaries = {"summarize_wal": "off"} if version >= 17 else {}
    settings = {**_SETTINGS, **summaries}
    server = EmbeddedPostgres(var / "postgres", version=version, settings=settings, sync=False)
    server.hold()
    url = server.url
    if is_plain():
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {PLAIN_ROLE} LOGIN NOSUPERUSER NOBYPASSRLS CREATEDB")
            # For `resetting`, between the tests.
            connection.execute(f"GRANT SET ON PARAMETER session_replication_role TO {PLAIN_ROLE}")
        url = psycopg.conninfo.make_conninfo(url, user=PLAIN_ROLE)
    os.environ["DATABASE_URL"] = url


def _remove(var: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(var, ignore_errors=True)


# A worker of xdist inherits all of it from the process that started it.
if "CUSTODY_TEST_STARTED" not in os.environ:
    _start()
    os.environ["CUSTODY_TEST_STARTED"] = "1"

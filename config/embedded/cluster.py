"""The data folder of PostgreSQL: made whole or not at all, configured at every start."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import process
from .account import Account
from .errors import EmbeddedError
from .files import read_own, sync_folder, write_private

OWNER = "custody"
PORT = "5432"

_INCLUDE = "include = 'custody.conf'"
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*(\.[a-zA-Z_][a-zA-Z0-9_$]*)?")
_OURS = {"listen_addresses", "unix_socket_directories", "port", "data_directory"}


def require_version(data: Path, version: int) -> None:
    """Refuse a data folder of another major version. Raises EmbeddedError."""
    try:
        found = read_own(data / "PG_VERSION").strip()
    except FileNotFoundError:
        raise EmbeddedError(
            f"{data} is no PostgreSQL data folder (it has no PG_VERSION): move it away, or set "
            "CUSTODY_VAR to another folder."
        ) from None
    if found != str(version):
        raise EmbeddedError(
            f"{data} was made by PostgreSQL {found} and cannot be opened by {version}: dump it "
            "with the programs of its version and load the dump into a new folder (CUSTODY_VAR), "
            "or move it away to begin anew."
        )


def create(
    data: Path,
    *,
    programs: Path,
    version: int,
    account: Account | None,
    reach: Sequence[Path],
    sync: bool,
) -> None:
    """Run initdb beside `data` and rename, so that a kill leaves no half. Raises EmbeddedError."""
    made = data.with_name(f"{data.name}.init-{secrets.token_hex(4)}")
    try:
        made.mkdir(mode=0o700)
        if account:
            os.chown(made, account.uid, account.gid)
        for locale in ("C.UTF-8", "C"):
            done = process.run(
                [programs / "initdb", "-D", made, *_options(version, locale, sync)],
                account=account,
                reach=[*reach, made],
            )
            if done.returncode == 0 or "locale" not in done.stderr:
                break
        if done.returncode != 0:
            raise EmbeddedError(
                f"The embedded PostgreSQL could not make its data in {data.parent}: "
                f"{' '.join(done.stderr.split())} Mend that, or set DATABASE_URL to a server of "
                "your own."
            )
        made.rename(data)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    if sync:
        sync_folder(data.parent)


def remove_halves(data: Path) -> None:
    """Remove what an initdb that was killed left."""
    for left in data.parent.glob(f"{data.name}.init-*"):
        shutil.rmtree(left, ignore_errors=True)


def configure(
    data: Path,
    *,
    version: int,
    socket_folder: Path,
    settings: Mapping[str, str],
    account: Account | None,
) -> None:
    """Write our settings, `settings` last; ALTER SYSTEM still goes before them.

    Raises EmbeddedError for a setting that cannot be set.
    """
    for name in settings:
        if not _NAME.fullmatch(name) or name.lower() in _OURS:
            raise EmbeddedError(f"{name!r} is no setting that the embedded PostgreSQL can take.")
    lines = [
        f"{name} = {_quoted(value)}"
        for name, value in {**_defaults(version, socket_folder), **settings}.items()
    ]
    header = "# Written at every start. What ALTER SYSTEM sets goes before it.\n"
    write_private(data / "custody.conf", header + "\n".join(lines) + "\n", account)
    main = read_own(data / "postgresql.conf")
    if _INCLUDE not in main.splitlines():
        write_private(data / "postgresql.conf", f"{main}\n{_INCLUDE}\n", account)


def _options(version: int, locale: str, sync: bool) -> list[str]:
    # The builtin provider gives the same order on every machine and after every upgrade.
    provider = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if version >= 17 else []
    return [
        *(
            f"--username={OWNER}",
            "--encoding=UTF8",
            f"--locale={locale}",
            "--lc-messages=C",
        ),
        *(
            "--data-checksums",
            "--auth-local=trust",
            "--auth-host=reject",
            "--no-instructions",
        ),
        *provider,
        *([] if sync else ["--no-sync"]),
    ]


def _defaults(version: int, socket_folder: Path) -> dict[str, str]:
    escaped = str(socket_folder).replace('"', '""')
    return {
        "listen_addresses": "",
        "port": PORT,
        # A list of names: quoted, for a blank or a comma in the path.
        "unix_socket_directories": f'"{escaped}"',
        "unix_socket_permissions": "0700",
        "max_connections": "100",
        "shared_buffers": "128MB",
        "wal_level": "replica",
        "archive_mode": "on",
        # Segments pile up for ever under an empty command; backups set a real one.
        "archive_command": "true",
        **({"summarize_wal": "on"} if version >= 17 else {}),
        "track_commit_timestamp": "on",
        "log_destination": "stderr",
        "logging_collector": "off",
        "log_timezone": "UTC",
        "timezone": "UTC",
        "lc_messages": "C",
    }


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"

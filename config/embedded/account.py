"""Whom a server runs as when the console runs as root, which PostgreSQL refuses to serve."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass

from .errors import EmbeddedError

SYSTEM_USER = "custody-postgres"


@dataclass(frozen=True)
class Account:
    """A user of the system, by name and by number."""

    name: str
    uid: int
    gid: int


def is_root() -> bool:
    return os.geteuid() == 0


def account_of(uid: int, gid: int) -> Account:
    """The account with this number, which need not have a name (containers)."""
    try:
        return _account(pwd.getpwuid(uid))
    except KeyError:
        return Account(str(uid), uid, gid)


def system_account() -> Account:
    """The system user that runs PostgreSQL for root; made when missing. Raises EmbeddedError."""
    found = _find()
    if found is not None:
        return found
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd is None:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root, there is no user {SYSTEM_USER} and no useradd to "
            "make it: create that system user, run as an ordinary user, or set DATABASE_URL."
        )
    nologin = shutil.which("nologin", path="/usr/sbin:/sbin:/usr/bin") or "/bin/false"
    made = subprocess.run(  # noqa: S603
        [
            *(useradd, "--system", "--user-group", "--no-create-home"),
            *("--home-dir", "/nonexistent", "--shell", nologin, SYSTEM_USER),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    # Another console may have made it at the same moment: what counts is that it is there.
    found = _find()
    if found is None:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root and the user {SYSTEM_USER} could not be made "
            f"({made.stderr.strip()}): run as an ordinary user, or set DATABASE_URL."
        )
    return found


def _find() -> Account | None:
    try:
        return _account(pwd.getpwnam(SYSTEM_USER))
    except KeyError:
        return None


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)

"""The private halves of signing keys: files `signing-<key_id>.pem` in one folder.

Nothing here knows the database. A key is written whole and durable before anybody hears of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from operations.exceptions import Refused


class KeyUnusable(Refused):
    """A key is not safe, not readable or not what its name says: nothing is signed with it."""


def key_id_of(public_key: bytes) -> str:
    """The name of a key: 16 hex digits from the SHA-256 of its public half (32 raw bytes)."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def key_path(folder: Path, key_id: str) -> Path:
    return folder / f"signing-{key_id}.pem"


def load(folder: Path, key_id: str) -> Ed25519PrivateKey | None:
    """The private half of `key_id`; None when there is no such file.

    Raises:
        KeyUnusable: others may read or replace the file, or it does not hold that key.
    """
    path = key_path(folder, key_id)
    with _explained("read", path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            if mode & 0o077:
                raise KeyUnusable(
                    f"The signing key {path} may be read by others (mode {mode:04o}), "
                    f"so nothing is signed with it. Run: chmod 600 {path}"
                )
            pem = file.read()
        _refuse_open_folder(folder)
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise KeyUnusable(
            f"{path} holds no unencrypted private key in PEM form: put back the file from your "
            "copy, or move it away to have a new key made."
        ) from error
    if not isinstance(key, Ed25519PrivateKey) or key_id_of(public_half(key)) != key_id:
        raise KeyUnusable(
            f"{path} holds another key than its name says: put back the file from your copy, "
            "or move it away to have a new key made."
        )
    return key


def public_half(key: Ed25519PrivateKey) -> bytes:
    """32 raw bytes."""
    return key.public_key().public_bytes_raw()


def find_or_make(folder: Path, *, known: Collection[str]) -> tuple[str, bool]:
    """The id of a key in `folder` that is not among `known`, and whether it was just made.

    A key that is there already is taken: its maker's transaction may not have ended yet, or was
    rolled back. Processes that come together therefore agree on one key.
    """
    with _explained("write in", folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_open_folder(folder)
        with _locked(folder):
            for left_behind in folder.glob(".signing-*.tmp"):
                left_behind.unlink(missing_ok=True)
            found = [path for path in folder.glob("signing-*.pem") if _id(path) not in known]
            if found:
                return _id(max(found, key=lambda path: (path.stat().st_mtime_ns, path.name))), False
            return _make(folder), True


def destroy(folder: Path, key_id: str) -> bool:
    """Removes the private half, durably; False when it was not there. Raises KeyUnusable."""
    path = key_path(folder, key_id)
    with _explained("remove", path):
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        _fsync_folder(folder)
    return True


def _make(folder: Path) -> str:
    key = Ed25519PrivateKey.generate()
    key_id = key_id_of(public_half(key))
    path = key_path(folder, key_id)
    draft = folder / f".signing-{key_id}.tmp"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        os.fsync(descriptor)
    draft.rename(path)
    for each in (folder, folder.parent):
        _fsync_folder(each)
    return key_id


def _id(path: Path) -> str:
    return path.stem.removeprefix("signing-")


def _refuse_open_folder(folder: Path) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    # The sticky bit keeps others from replacing what is not theirs.
    if mode & 0o022 and not mode & stat.S_ISVTX:
        raise KeyUnusable(
            f"Others may replace the signing keys in {folder} (mode {mode:04o}), "
            f"so nothing is signed with them. Run: chmod 700 {folder}"
        )


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _explained(action: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KeyUnusable(
            f"Cannot {action} {path}: {error.strerror or error}. Let the user that runs Custody "
            "read and write there, or point CUSTODY_KEYS at another folder."
        ) from error

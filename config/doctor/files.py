"""Folders and the room in them, and who may read the keys."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from django.conf import settings

from config.doctor.database import Server
from config.doctor.finding import Finding, fine, note, wrong
from operations.models import SigningKey
from operations.storage import LockRefused, StorageError, is_in_s3, lock_wanted, storage

LEAST_SHARE = 0.05
LEAST_BYTES = 1_000_000_000


def check_var() -> list[Finding]:
    return _writable("var", Path(settings.CUSTODY_VAR), "CUSTODY_VAR") + _room(
        "disk", Path(settings.CUSTODY_VAR)
    )


def check_storage() -> list[Finding]:
    if is_in_s3(settings.CUSTODY_STORAGE):
        return _probed()
    folder = Path(settings.CUSTODY_STORAGE)
    if not folder.exists():
        # Not made here: whoever runs the doctor may be another user.
        return _writable("storage", folder, "CUSTODY_STORAGE") + _room("storage room", folder)
    return _probed() + _room("storage room", folder)


def _probed() -> list[Finding]:
    try:
        store = storage()
        store.probe()
    except StorageError as error:
        return wrong("storage", str(error), "Nothing is archived or destroyed until it is mended.")
    return fine("storage", f"{store.location('')} takes files")


def check_lock() -> list[Finding]:
    if not lock_wanted():
        return fine("object lock", "Off: whoever may write to the storage may delete archives")
    try:
        storage().check_lock()
    except LockRefused as error:
        return wrong("object lock", str(error), "Until then no purge that archives can run.")
    except StorageError as error:
        return wrong("object lock", str(error), "Mend that, then look again.")
    mode = settings.CUSTODY_OBJECT_LOCK
    return fine("object lock", f"Archives with a term are locked until its end ({mode})")


def check_anchors() -> list[Finding]:
    return _writable("anchors", Path(settings.CUSTODY_ANCHORS), "CUSTODY_ANCHORS")


def check_key_files() -> list[Finding]:
    found = [*_open_to_others(Path(settings.CUSTODY_KEYS), "*.pem")]
    found += _open_to_others(Path(settings.CUSTODY_VAR) / "secrets", "*")
    return found or fine("key files", "Only their owner may read the keys and secrets")


def check_signing_key(_: Server) -> list[Finding]:
    folder = Path(settings.CUSTODY_KEYS)
    current = list(SigningKey.objects.filter(retired_at=None).values_list("key_id", flat=True))
    if not current:
        return note("signing key", "None yet; the first certificate makes one")
    here = [key_id for key_id in current if (folder / f"signing-{key_id}.pem").exists()]
    if here:
        return fine("signing key", f"{here[-1]} in {folder}")
    return wrong(
        "signing key",
        f"The private half of {current[-1]} is not in {folder}",
        "Put the file back from its copy, or point CUSTODY_KEYS at its folder; otherwise the key "
        "is retired and a new one signs from now on.",
    )


def _open_to_others(folder: Path, pattern: str) -> list[Finding]:
    if not folder.is_dir():
        return []
    found = []
    if folder.stat().st_mode & 0o022 and not folder.stat().st_mode & stat.S_ISVTX:
        found += wrong("key files", f"Others may replace files in {folder}", f"chmod 700 {folder}")
    for path in sorted(folder.glob(pattern)):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_file() and mode & 0o077:
            said = f"Others may read {path} (mode {mode:04o})"
            found += wrong("key files", said, f"chmod 600 {path}")
    return found


def _writable(name: str, folder: Path, setting: str) -> list[Finding]:
    existing = _existing(folder)
    if os.access(existing, os.W_OK | os.X_OK):
        made = "" if existing == folder else " (made at first use)"
        return fine(name, f"{folder}{made}")
    return wrong(
        name,
        f"This user may not write in {existing}",
        f"Let the user that runs Custody write there, or set {setting} to another folder.",
    )


def _room(name: str, folder: Path) -> list[Finding]:
    usage = shutil.disk_usage(_existing(folder))
    share = usage.free / usage.total if usage.total else 0.0
    detail = f"{usage.free / 1e9:,.1f} GB free on the disk of {folder} ({share:.0%})"
    if share < LEAST_SHARE or usage.free < LEAST_BYTES:
        return note(name, detail, "Make room: a full disk stops runs, and the database in it.")
    return fine(name, detail)


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())

"""To whom is encrypted, and who can read: age's X25519 keys, as `age-keygen` makes them."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from pyrage import IdentityError, RecipientError, x25519

from operations.exceptions import CustodyError, Refused

_NONE_HELD = (
    "and this console holds no identity: let CUSTODY_ARCHIVE_IDENTITY name the file with the "
    "private key of a recipient (docs/storage.md)."
)


class RecipientUnusable(CustodyError):
    """A recipient is no public key of age: nothing is written, rather than in the clear."""


class IdentityNeeded(Refused):
    """What is stored is encrypted, and this console holds no identity that opens it."""


@dataclass(frozen=True)
class Identity:
    """A private key. Its text never leaves the file."""

    recipient: str
    """The public key that belongs to it."""
    key: x25519.Identity = field(repr=False)


def recipients() -> tuple[str, ...]:
    """The public keys that the settings name, in their order; none: nothing is encrypted.

    Raises:
        RecipientUnusable: one of them is no public key.
    """
    return tuple(dict.fromkeys(map(_recipient, settings.CUSTODY_ARCHIVE_RECIPIENTS)))


def _recipient(text: str) -> str:
    try:
        return str(x25519.Recipient.from_str(text.strip()))
    except RecipientError as error:
        # A private key in the place of a public one must not be printed.
        shown = f"{text.strip()[:12]}..." if len(text.strip()) > 12 else text.strip()
        raise RecipientUnusable(
            f"{shown!r} in CUSTODY_ARCHIVE_RECIPIENTS is no public key of age ({error}). It is the "
            "line that begins with age1, which `age-keygen -y key.txt` prints; several are "
            "separated by commas."
        ) from error


def identities() -> tuple[Identity, ...]:
    """The private keys in the file that the settings name; none when they name no file.

    Raises:
        IdentityNeeded: the file cannot be read, may be read by others, or holds no identity.
    """
    if not settings.CUSTODY_ARCHIVE_IDENTITY:
        return ()
    path = Path(settings.CUSTODY_ARCHIVE_IDENTITY)
    lines = [line.strip() for line in _private_text(path).splitlines()]
    texts = [line for line in lines if line and not line.startswith("#")]
    if not texts:
        raise IdentityNeeded(f"{path} holds no identity: it is made with `age-keygen -o {path}`.")
    return tuple(_identity(text, path) for text in texts)


def identities_needed() -> tuple[Identity, ...]:
    """Like `identities`; raises IdentityNeeded also when the settings name no file."""
    held = identities()
    if not held:
        raise IdentityNeeded(f"It is encrypted, {_NONE_HELD}")
    return held


def _identity(text: str, path: Path) -> Identity:
    try:
        key = x25519.Identity.from_str(text)
    except IdentityError as error:
        raise IdentityNeeded(
            f"A line of {path} is no identity of age ({error}): each is a comment, or begins with "
            "AGE-SECRET-KEY-1. An identity that has a passphrase is decrypted first: "
            "`age -d protected.txt > key.txt`."
        ) from error
    return Identity(str(key.to_public()), key)


def _private_text(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            if mode & 0o077:
                raise IdentityNeeded(
                    f"The identity {path} may be read by others (mode {mode:04o}), so it is not "
                    f"used. Run: chmod 600 {path}"
                )
            return file.read().decode("utf-8", errors="replace")
    except OSError as error:
        raise IdentityNeeded(
            f"Cannot read the identity {path}: {error.strerror or error}. Put the file there, "
            "readable by the user that runs Custody alone, or correct CUSTODY_ARCHIVE_IDENTITY."
        ) from error


def unreadable(encrypted_to: Sequence[str]) -> str:
    """Why this console cannot open what was encrypted to these keys; empty when it can."""
    if not encrypted_to:
        return ""
    try:
        held = [each.recipient for each in identities()]
    except IdentityNeeded as error:
        return str(error)
    if set(held) & set(encrypted_to):
        return ""
    wanted = " or ".join(encrypted_to)
    if not held:
        return f"It is encrypted to {wanted}, {_NONE_HELD}"
    return (
        f"It is encrypted to {wanted}. {settings.CUSTODY_ARCHIVE_IDENTITY} holds the identity of "
        f"{' and '.join(held)}: add the right one to the file, on a line of its own."
    )


def refuse_unreadable(encrypted_to: Sequence[str]) -> None:
    """Raises IdentityNeeded, with what to do, when `unreadable` says something."""
    if why := unreadable(encrypted_to):
        raise IdentityNeeded(why)

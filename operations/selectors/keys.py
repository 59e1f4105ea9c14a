"""Signing keys as people ask about them, and whether what one signed is believed."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from django.conf import settings

from operations import key_files
from operations.exceptions import UsageError
from operations.key_uses import key_uses
from operations.models import SigningKey

State = Literal["current", "missing", "retired", "lost", "compromised"]


class NoSuchKey(UsageError):
    """No signing key has this id."""


@dataclass(frozen=True)
class KeyStanding:
    """One key, and how it stands."""

    key: SigningKey
    state: State
    """`missing`: current, and its file is not there: the next signature makes another key.
    `retired`: another one followed."""
    file: Path
    file_exists: bool
    uses: dict[str, int]
    """How many things it signed, by their plural: `certificates`, `blocks`."""

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.key.public_key)


def fingerprint(public_key: str) -> str:
    """SHA-256 of the raw public half, 64 hex digits. The key's id is its beginning."""
    return hashlib.sha256(base64.b64decode(public_key)).hexdigest()


def keys_standing(*, uses: bool = True) -> list[KeyStanding]:
    """All keys, the oldest first. Without `uses` nothing is counted: there may be much."""
    keys = SigningKey.objects.order_by("created_at", "id")
    return [key_standing(key, uses=uses) for key in keys]


def key_standing(key: SigningKey, *, uses: bool = True) -> KeyStanding:
    """How one key stands."""
    file = key_files.key_path(Path(settings.CUSTODY_KEYS), key.key_id)
    there = file.exists()
    state: State = "retired"
    if key.compromised_since is not None:
        state = "compromised"
    elif key.ended == "lost":
        state = "lost"
    elif key.retired_at is None:
        state = "current" if there else "missing"
    return KeyStanding(key, state, file, there, key_uses(key.key_id) if uses else {})


def key_get(text: str) -> SigningKey:
    """By its id, or by its fingerprint. Raises NoSuchKey."""
    wanted = "".join(text.split()).replace(":", "").lower()[:16]
    found = SigningKey.objects.filter(key_id=wanted).first()
    if found is None:
        raise NoSuchKey(f"There is no signing key {text}. `manage.py key_list` shows them.")
    return found


def keys_compromised() -> dict[str, datetime]:
    """The keys that leaked, by id, and since when what they signed is not believed.

    A block that such a key signed is believed all the same when an anchor that is older than that
    names it or a later one.
    """
    found = SigningKey.objects.exclude(compromised_since=None)
    return {key.key_id: key.compromised_since for key in found if key.compromised_since}


def key_doubt(key: SigningKey, signed_at: str) -> str:
    """Why what the key signed then (ISO 8601) is not believed; empty when it is."""
    since = key.compromised_since
    if since is None:
        return ""
    try:
        at = datetime.fromisoformat(signed_at)
    except ValueError:
        at = since
    if (at if at.tzinfo else at.replace(tzinfo=UTC)) < since:
        return ""
    return (
        f"It was signed on {signed_at} by the key {key.key_id}, which counts as leaked since "
        f"{since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: anybody may have signed it."
    )

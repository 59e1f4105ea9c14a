"""Ending a signing key: by rotation, after it was lost, or because it leaked.

Invariants: the new key's file is durable before anything in the database names it, and the old
one's goes only after the database has the new one. Killed in between, the next signature or the
next call goes on with the new key that is there.

The private half of an ended key is destroyed: nothing needs it, verifying takes the public one, and
whoever found it could sign for days that are over.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from operations import key_files
from operations.exceptions import UsageError
from operations.key_files import KeyUnusable
from operations.key_statements import statement_add
from operations.models import SigningKey

REASON = 2_000
"""Letters of a reason that a statement keeps."""


@dataclass(frozen=True)
class Rotated:
    """What was done, or with `dry_run` would be."""

    old: list[SigningKey]
    """The keys that ended."""
    new: SigningKey | None
    """The current key; None in a dry run that would make one."""
    made: bool
    """There is a new current key."""
    destroyed: list[Path]
    """Private halves that are gone."""


def key_rotate(*, reason: str = "", dry_run: bool = False) -> Rotated:
    """Makes a new current key, for which the old one vouches before it goes.

    An old one whose file is missing cannot: it ends as lost. Without any key, makes the first.

    Raises:
        KeyUnusable: a key is not safe, or cannot be read, made or removed.
    """
    return _ended(reason=reason, dry_run=dry_run)


def key_compromised(
    *, key: SigningKey, since: datetime, reason: str = "", dry_run: bool = False
) -> Rotated:
    """What the key signed since then is not believed any more; a current one is replaced.

    Raises:
        UsageError: `since` lies ahead.
        KeyUnusable: as `key_rotate`.
    """
    if since > timezone.now():
        raise UsageError(f"--since {since.isoformat()} has not come yet: say since when it leaked.")
    # Anchors and certificates tell their time in whole seconds, rounded down.
    since = since.replace(microsecond=0)
    if key.compromised_since is not None:
        # Never later than what was said before: what was doubted once stays so.
        since = min(since, key.compromised_since)
    return _ended(reason=reason, dry_run=dry_run, leaked=key, since=since)


def _ended(
    *,
    reason: str,
    dry_run: bool,
    leaked: SigningKey | None = None,
    since: datetime | None = None,
) -> Rotated:
    folder = Path(settings.CUSTODY_KEYS)
    going = list(SigningKey.objects.filter(retired_at=None))
    makes = leaked is None or leaked in going or not going
    if dry_run:
        old = [*(going if makes else []), *([leaked] if leaked and leaked not in going else [])]
        files = [key_files.key_path(folder, key.key_id) for key in old]
        there = [file for file in files if file.exists()]
        return Rotated(old, None if makes else going[-1], makes, there)
    new_id, private = _private(folder, makes, going)
    old = []
    with transaction.atomic():
        SigningKey.objects.bulk_create([_public(new_id, private)], ignore_conflicts=True)
        locked = list(SigningKey.objects.select_for_update().order_by("id"))
        new = next(key for key in locked if key.key_id == new_id)
        for key in locked:
            signers = {new_id: private}
            if leaked is not None and key.pk == leaked.pk:
                key.ended, key.compromised_since = "compromised", since
            elif makes and key.retired_at is None and key.pk != new.pk:
                mine = key_files.load(folder, key.key_id)
                key.ended = "rotated" if mine is not None else "lost"
                signers |= {key.key_id: mine} if mine is not None else {}
            else:
                continue
            key.retired_at, key.reason = key.retired_at or timezone.now(), reason.strip()[:REASON]
            statement_add(key, new, signers)
            key.save()
            old.append(key)
    gone = [key for key in old if key_files.destroy(folder, key.key_id)]
    return Rotated(old, new, makes, [key_files.key_path(folder, key.key_id) for key in gone])


def _private(folder: Path, makes: bool, going: list[SigningKey]) -> tuple[str, Ed25519PrivateKey]:
    """The key that signs from now on: a new one, or the current one when another has leaked."""
    if makes:
        known = set(SigningKey.objects.values_list("key_id", flat=True))
        key_id, _ = key_files.find_or_make(folder, known=known)
    else:
        key_id = going[-1].key_id
    private = key_files.load(folder, key_id)
    if private is None:
        raise KeyUnusable(
            f"The file of the key {key_id} is not in {folder}: put it back from its copy, or run "
            "key_rotate, which retires it as lost; then say again which key leaked."
        )
    return key_id, private


def _public(key_id: str, private: Ed25519PrivateKey) -> SigningKey:
    public = base64.b64encode(key_files.public_half(private)).decode("ascii")
    return SigningKey(key_id=key_id, public_key=public)

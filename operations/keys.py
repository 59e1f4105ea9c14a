"""The Ed25519 key that certificates and seals are signed with.

Invariant: the private half never enters the database, and a public half that was registered there
stays, so that what was signed can be verified for good. One key is current; the others are retired,
each with a signed statement of its end. Signing uses a key only after its public half is registered
in the same transaction or before.
"""

from __future__ import annotations

import base64
import binascii
import logging
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from operations import key_files
from operations.key_files import KeyUnusable, key_id_of
from operations.key_statements import statement_add
from operations.models import SigningKey

__all__ = [
    "KeyUnusable",
    "Signature",
    "Signer",
    "current_key",
    "key_id_of",
    "sign",
    "signature_fits",
    "signer",
    "verify",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Signature:
    """An Ed25519 signature (RFC 8032), 64 bytes, in base64."""

    key_id: str
    signature_b64: str


@dataclass(frozen=True)
class Signer:
    """One key, for data that names the key that it is signed with."""

    key: SigningKey
    _private: Ed25519PrivateKey

    @property
    def key_id(self) -> str:
        return self.key.key_id

    def sign(self, data: bytes) -> Signature:
        return Signature(self.key_id, base64.b64encode(self._private.sign(data)).decode("ascii"))


def signer() -> Signer:
    """The current key, which stays the same whatever is rotated meanwhile. Raises as `sign`."""
    return Signer(*_current())


def sign(data: bytes) -> Signature:
    """Signs with the current key; makes one at first use.

    Raises:
        KeyUnusable: the key is not safe or cannot be read or made.
    """
    return signer().sign(data)


def current_key() -> SigningKey:
    """The key that `sign` uses. Raises KeyUnusable like it."""
    return _current()[0]


def verify(data: bytes, signature: str, key_id: str) -> bool:
    """Whether `signature` (base64) over `data` was made by the registered key `key_id`.

    A retired key verifies what it signed; an unknown one verifies nothing.
    """
    key = SigningKey.objects.filter(key_id=key_id).first()
    return key is not None and signature_fits(data, signature, key.public_key)


def signature_fits(data: bytes, signature: str, public_key: str) -> bool:
    """Whether `signature` over `data` was made by `public_key` (both base64), ours or not."""
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        public.verify(base64.b64decode(signature, validate=True), data)
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def _current() -> tuple[SigningKey, Ed25519PrivateKey]:
    folder = Path(settings.CUSTODY_KEYS)
    # Twice at most unless keys are retired while this runs.
    for _ in range(3):
        for key in SigningKey.objects.filter(retired_at=None).order_by("-id"):
            private = key_files.load(folder, key.key_id)
            if private is not None:
                return key, private
        _register(folder)
    raise KeyUnusable(
        f"No current signing key could be kept: other processes retire the keys in {folder}. "
        "Point CUSTODY_KEYS of every process at the same folder, then try again."
    )


def _register(folder: Path) -> None:
    """Takes or makes a key in `folder`, registers it and retires those without a private half."""
    registered = list(SigningKey.objects.all())
    # Another process may have registered one since; its file was there before its row.
    if any(key.retired_at is None and _is_here(key, folder) for key in registered):
        return
    known = {key.key_id for key in registered}
    key_id, made = key_files.find_or_make(folder, known=known)
    private = key_files.load(folder, key_id)
    if private is None:
        return
    public_key = base64.b64encode(key_files.public_half(private)).decode("ascii")
    with transaction.atomic():
        # A process that took the same key may have been first, or may still be in its transaction:
        # then this waits for its end.
        SigningKey.objects.bulk_create(
            [SigningKey(key_id=key_id, public_key=public_key)], ignore_conflicts=True
        )
        current = SigningKey.objects.select_for_update().filter(retired_at=None)
        new = SigningKey.objects.get(key_id=key_id)
        lost = [key for key in current if not _is_here(key, folder)]
        for key in lost:
            key.retired_at, key.ended = timezone.now(), "lost"
            statement_add(key, new, {key_id: private})
            key.save()
    if made:
        logger.warning(
            "A signing key was made: %s. Keep a copy of this file in a safe place, "
            "and share its folder among all machines that run Custody.",
            key_files.key_path(folder, key_id),
        )
    for old in lost:
        logger.warning(
            "The private half of signing key %s is not in %s: the key is retired and %s signs "
            "from now on. What it signed can still be verified.",
            old.key_id,
            folder,
            key_id,
        )


def _is_here(key: SigningKey, folder: Path) -> bool:
    return key_files.key_path(folder, key.key_id).exists()

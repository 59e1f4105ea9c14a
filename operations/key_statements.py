"""Statements of a key's end: what follows it, signed, so that a reader of both need not ask us.

    {"statement": {"format": "custody-key/1", "ended": "rotated", "at", "since", "reason",
                   "old": {"key_id", "public_key"}, "new": {"key_id", "public_key"}},
     "signatures": {KEY_ID: base64 of Ed25519 over `canonical(statement)`}}

A rotated key vouches for the new one and the new one for it. For a lost or a compromised one only
the new key speaks: who knows the old one alone has to compare the new one with what was published.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from operations.certificates.canonical import canonical
from operations.models import SigningKey

FORMAT = "custody-key/1"


def statement_add(
    old: SigningKey, new: SigningKey, privates: Mapping[str, Ed25519PrivateKey]
) -> None:
    """Adds the statement of `old`'s end as its fields tell it, signed by `privates` (by key id)."""
    since = old.compromised_since
    statement = {
        "format": FORMAT,
        "ended": old.ended,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "since": since.astimezone(UTC).isoformat() if since else "",
        "reason": old.reason,
        "old": {"key_id": old.key_id, "public_key": old.public_key},
        "new": {"key_id": new.key_id, "public_key": new.public_key},
    }
    signed = canonical(statement)
    signatures = {
        key_id: base64.b64encode(private.sign(signed)).decode("ascii")
        for key_id, private in privates.items()
    }
    old.statements = [*old.statements, {"statement": statement, "signatures": signatures}]

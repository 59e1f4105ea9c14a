"""A signing key as commands print it."""

from __future__ import annotations

from typing import Any

from operations.selectors.keys import KeyStanding


def printed(fingerprint: str) -> str:
    """In groups of four, for paper."""
    return " ".join(fingerprint[at : at + 4] for at in range(0, len(fingerprint), 4))


def key_json(standing: KeyStanding) -> dict[str, Any]:
    key = standing.key
    return {
        "key_id": key.key_id,
        "state": standing.state,
        "since": key.created_at,
        "until": key.retired_at,
        "compromised_since": key.compromised_since,
        "reason": key.reason,
        "signed": standing.uses,
        "file": str(standing.file) if standing.file_exists else None,
        "public_key": key.public_key,
        "fingerprint": standing.fingerprint,
        "statements": key.statements,
    }

"""Leaves: one hash for a row, from which any value can be taken away later."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

SALT = 16
"""Bytes of one value's salt."""
SECRET = 32
"""Bytes of what a section's salts are made from, as long as none of its values was redacted."""
NULL = b"\\N"
REST = "rest"
"""The history's jsonb column of values that had no column yet: an entry each, `rest.7`."""

_REST = b"rest\t"
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_MEANT = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def salts_of(secret: bytes, leaves: int, names: int) -> bytes:
    """The salts of a section: AES-256 in counter mode from zero, SALT bytes for each name of each
    leaf, in this order."""
    stream = Cipher(algorithms.AES(secret), modes.CTR(bytes(16))).encryptor()
    return stream.update(bytes(leaves * names * SALT))


def prefixes(names: Sequence[str]) -> list[bytes]:
    """What stands before the commitment of each name in a leaf."""
    return [escape(name.encode()) + b"\t" for name in names]


def leaf(  # noqa: PLR0917
    meta: bytes,
    values: Sequence[bytes],
    named: Sequence[bytes],
    salts: bytes,
    at: int,
    kept: Mapping[bytes, bytes] | None = None,
) -> bytes:
    """The hash of a row, 32 bytes.

    Args:
        meta: its fields that stay, as COPY prints them, tabs between.
        values: the other fields, as COPY prints each.
        named: `prefixes` of their names.
        salts: of the section; the leaf's begin at byte `at`.
        kept: what is redacted: commitments by `prefixes` of the names; of an entry of `rest` its
            salt may stand there too, of SALT bytes.
    """
    parts = [b"\0", meta, b"\n"]
    # Most of the time of sealing and verifying is spent here: names are looked up once.
    add, null, rest, size, digest_of = parts.append, NULL, _REST, SALT, sha256
    for prefix, value in zip(named, values, strict=True):
        if value != null and prefix != rest:
            add(prefix)
            add(digest_of(salts[at : at + size] + value).digest())
            add(b"\n")
        elif prefix == rest:
            parts += _entries(value, salts[at : at + size], kept or {})
        elif kept and prefix in kept:
            parts += (prefix, kept[prefix], b"\n")
        at += size
    return sha256(b"".join(parts)).digest()


def _entries(value: bytes, salt: bytes, kept: Mapping[bytes, bytes]) -> list[bytes]:
    if value == NULL and not kept:
        return []
    entries = {} if value == NULL else json.loads(unescape(value))
    named = {prefixes([f"{REST}.{key}"])[0]: key for key in entries}
    parts = []
    for prefix in sorted({*named, *(p for p, k in kept.items() if _is_taken(p, k))}):
        found = kept.get(prefix, b"")
        if prefix in named:
            key = named[prefix]
            own = found if len(found) == SALT else entry_salt(salt, key)
            found = commitment(own, entry_value(entries[key]))
        parts += [prefix, found, b"\n"]
    return parts


def _is_taken(prefix: bytes, kept: bytes) -> bool:
    return prefix.startswith(b"rest.") and len(kept) != SALT


def entry_salt(salt: bytes, key: str) -> bytes:
    """The salt of one entry of `rest`, from that of the whole."""
    return sha256(salt + key.encode()).digest()[:SALT]


def entry_value(value: object) -> bytes:
    """What is committed to of one entry of `rest`."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def commitment(salt: bytes, value: bytes) -> bytes:
    return sha256(salt + value).digest()


def tag(record_id: bytes) -> int:
    """Of a record id: tells the leaves of one number apart. 64 bits of its SHA-256, signed."""
    return int.from_bytes(sha256(record_id).digest()[:8], "big", signed=True)


def escape(text: bytes) -> bytes:
    """As COPY prints it."""
    if b"\\" in text or min(text, default=32) < 32:
        text = text.replace(b"\\", b"\\\\")
        for letter, meant in _MEANT.items():
            text = text.replace(meant, b"\\" + letter)
    return text


def unescape(text: bytes) -> bytes:
    """What COPY printed."""
    if b"\\" not in text:
        return text
    return _ESCAPED.sub(lambda found: _MEANT.get(found[1], found[1]), text)

"""Encryption: streams of any size, keys that are checked, errors that say what to do."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyrage
import pytest
from pyrage import x25519
from pytest_django import Settings

from operations.encryption import (
    CiphertextUnusable,
    IdentityNeeded,
    Reading,
    RecipientUnusable,
    decrypted,
    encrypt,
    identities,
    identities_needed,
    recipients,
    refuse_unreadable,
    unreadable,
)
from operations.storage import StorageFull

PLAIN = os.urandom(1_000_000)


@pytest.fixture
def key() -> x25519.Identity:
    return x25519.Identity.generate()


@pytest.fixture
def identity_file(settings: Settings, tmp_path: Path, key: x25519.Identity) -> Path:
    path = tmp_path / "identity.txt"
    path.write_text(f"# created: 2026-11-25\n# public key: {key.to_public()}\n{key}\n")
    path.chmod(0o600)
    settings.CUSTODY_ARCHIVE_IDENTITY = str(path)
    return path


def blocks() -> Iterator[bytes]:
    for start in range(0, len(PLAIN), 7_001):
        yield PLAIN[start : start + 7_001]


def sealed(*keys: x25519.Identity) -> bytes:
    out = io.BytesIO()
    encrypt(blocks(), out.write, [str(key.to_public()) for key in keys])
    return out.getvalue()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "age-reader"]


def test_what_is_encrypted_is_what_every_tool_for_age_opens(key: x25519.Identity) -> None:
    other = x25519.Identity.generate()
    stored = sealed(key, other)
    assert stored.startswith(b"age-encryption.org/v1\n")
    assert PLAIN[:64] not in stored
    assert pyrage.decrypt(stored, [key]) == pyrage.decrypt(stored, [other]) == PLAIN


def test_what_every_tool_for_age_wrote_is_read(key: x25519.Identity, identity_file: Path) -> None:
    stored = pyrage.encrypt(PLAIN, [key.to_public()])
    assert b"".join(decrypted(io.BytesIO(stored), identities())) == PLAIN
    assert (
        b"".join(decrypted(io.BytesIO(pyrage.encrypt(b"", [key.to_public()])), identities())) == b""
    )
    assert threads() == []


def test_neither_way_holds_more_than_a_few_pieces(
    key: x25519.Identity, identity_file: Path
) -> None:
    taken = 0

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal taken
            piece = super().read(size)
            taken += len(piece)
            return piece

    found = decrypted(Watched(sealed(key)), identities())
    assert len(next(found)) <= 1 << 16
    # The thread reads on until there are as many pieces as it may have ahead, and waits.
    threading.Event().wait(0.1)
    assert taken < 11 << 16
    found.close()
    assert threads() == []

    given, out = 0, 0

    def endless() -> Iterator[bytes]:
        nonlocal given
        while given < 1 << 22:
            given += 1 << 10
            yield bytes(1 << 10)

    def write(piece: bytes) -> None:
        nonlocal out
        out += len(piece)
        assert given - out < 1 << 17

    encrypt(endless(), write, [str(key.to_public())])
    assert out > given


def test_an_error_on_either_side_is_raised_as_it_was(
    key: x25519.Identity, identity_file: Path
) -> None:
    def full(piece: bytes) -> None:
        raise StorageFull("no room")

    def broken() -> Iterator[bytes]:
        yield b"x"
        raise StorageFull("gone")

    to = [str(key.to_public())]
    with pytest.raises(StorageFull, match="no room"):
        encrypt(blocks(), full, to)
    with pytest.raises(StorageFull, match="gone"):
        encrypt(broken(), io.BytesIO().write, to)
    stored = sealed(key)
    with pytest.raises(StorageFull, match="gone"):
        list(decrypted(Reading(iter_then_fail(stored[:300_000])), identities()))
    assert threads() == []


def iter_then_fail(some: bytes) -> Iterator[bytes]:
    yield some
    raise StorageFull("gone")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda s: s[:500_000], "damaged or cut short"),
        (lambda s: s[:500_000] + bytes([s[500_000] ^ 1]) + s[500_001:], "damaged or cut short"),
        (lambda s: s + b"x", "damaged or cut short"),
        (lambda s: s[:0], "damaged or cut short"),
        (lambda s: s[:40] + bytes([s[40] ^ 1]) + s[41:], "no identity here opens it"),
    ],
    ids=["cut", "flipped", "longer", "empty", "beginning"],
)
def test_damage_is_found_and_nothing_false_is_given_out(
    key: x25519.Identity, identity_file: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    found: list[bytes] = []
    stored = io.BytesIO(damage(sealed(key)))
    with pytest.raises(CiphertextUnusable, match=said):
        found.extend(decrypted(stored, identities()))
    assert PLAIN.startswith(b"".join(found))
    assert threads() == []


def test_another_s_identity_opens_nothing(identity_file: Path) -> None:
    with pytest.raises(CiphertextUnusable, match="no identity here opens it"):
        list(decrypted(io.BytesIO(sealed(x25519.Identity.generate())), identities()))


def test_an_old_identity_stays_in_the_file_beside_the_new_one(
    key: x25519.Identity, identity_file: Path
) -> None:
    new = x25519.Identity.generate()
    identity_file.write_text(identity_file.read_text() + f"\n{new}\n")
    assert [each.recipient for each in identities()] == [str(key.to_public()), str(new.to_public())]
    for each in (key, new):
        assert b"".join(decrypted(io.BytesIO(sealed(each)), identities())) == PLAIN
        assert unreadable([str(each.to_public())]) == ""


def test_recipients_are_public_keys_each_once(settings: Settings, key: x25519.Identity) -> None:
    public = str(key.to_public())
    assert recipients() == ()
    settings.CUSTODY_ARCHIVE_RECIPIENTS = [f" {public}", public.upper(), public]
    assert recipients() == (public,)


@pytest.mark.parametrize("private", [True, False])
def test_a_recipient_that_is_none_is_refused_and_a_private_key_not_printed(
    settings: Settings, key: x25519.Identity, private: bool
) -> None:
    text = str(key) if private else "age1nonsense"
    settings.CUSTODY_ARCHIVE_RECIPIENTS = [text]
    with pytest.raises(RecipientUnusable, match=r"age-keygen -y key\.txt") as caught:
        recipients()
    assert text[16:] not in str(caught.value) or not private
    assert "\n" not in str(caught.value)


def test_what_cannot_be_opened_says_what_to_do(
    settings: Settings, key: x25519.Identity, identity_file: Path
) -> None:
    public, other = str(key.to_public()), str(x25519.Identity.generate().to_public())
    refuse_unreadable([])
    refuse_unreadable([other, public])
    with pytest.raises(
        IdentityNeeded, match=rf"encrypted to {other}.*holds the identity of {public}"
    ):
        refuse_unreadable([other])
    settings.CUSTODY_ARCHIVE_IDENTITY = ""
    assert identities() == ()
    with pytest.raises(IdentityNeeded, match=rf"encrypted to {public}.*CUSTODY_ARCHIVE_IDENTITY"):
        refuse_unreadable([public])
    with pytest.raises(IdentityNeeded, match="CUSTODY_ARCHIVE_IDENTITY"):
        identities_needed()


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (None, 0o600, "No such file or directory"),
        ("", 0o600, "age-keygen -o"),
        ("# a comment\n", 0o600, "age-keygen -o"),
        ("-----BEGIN AGE ENCRYPTED FILE-----\n", 0o600, "passphrase"),
        ("whatever", 0o640, "chmod 600"),
    ],
    ids=["missing", "empty", "only comments", "protected", "open to others"],
)
def test_an_identity_file_that_cannot_be_used_says_why(
    identity_file: Path, content: str | None, mode: int, said: str
) -> None:
    if content is None:
        identity_file.unlink()
    else:
        identity_file.write_text(content)
        identity_file.chmod(mode)
    with pytest.raises(IdentityNeeded, match=said) as caught:
        identities()
    assert str(identity_file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert unreadable(["age1x"]) == str(caught.value)


def test_no_private_key_is_shown(identity_file: Path, key: x25519.Identity) -> None:
    assert str(key) not in repr(identities())

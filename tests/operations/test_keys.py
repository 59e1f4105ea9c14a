"""Signing keys: one current, made at first use, its private half outside the database."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.db import connection, transaction

from operations import keys
from operations.keys import KeyUnusable
from operations.models import SigningKey
from tests.operations.django_child import start

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def folder(settings: Any) -> Path:
    return Path(settings.CUSTODY_KEYS)


def private_file(folder: Path, key: SigningKey) -> Path:
    return folder / f"signing-{key.key_id}.pem"


def test_the_first_signature_makes_a_key_and_the_next_uses_it(folder: Path) -> None:
    signature = keys.sign(b"what was done")
    key = SigningKey.objects.get()
    assert key == keys.current_key()
    assert signature.key_id == key.key_id
    public = base64.b64decode(key.public_key)
    assert len(public) == 32
    assert key.key_id == hashlib.sha256(public).hexdigest()[:16]
    assert keys.verify(b"what was done", signature.signature_b64, key.key_id)
    assert keys.sign(b"more").key_id == key.key_id
    assert SigningKey.objects.count() == 1


def test_the_private_half_is_a_file_that_only_its_owner_may_read(folder: Path) -> None:
    before = os.umask(0)
    try:
        key = keys.current_key()
    finally:
        os.umask(before)
    path = private_file(folder, key)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {p.name for p in folder.iterdir()} == {path.name, ".lock"}
    private = load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(private, Ed25519PrivateKey)
    with connection.cursor() as cursor:
        cursor.execute("SELECT k::text FROM custody.operations_signingkey k")
        rows = str(cursor.fetchall())
    assert base64.b64encode(private.private_bytes_raw()).decode() not in rows


def test_making_a_key_says_where_it_lies(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        key = keys.current_key()
    assert str(private_file(folder, key)) in caplog.text


def test_what_is_changed_by_a_bit_does_not_verify() -> None:
    signature = keys.sign(b"what was done")
    good, key_id = signature.signature_b64, signature.key_id
    raw = bytearray(base64.b64decode(good))
    raw[10] ^= 1
    assert keys.verify(b"what was done", good, key_id)
    assert not keys.verify(b"what was dond", good, key_id)
    assert not keys.verify(b"what was done", base64.b64encode(raw).decode(), key_id)
    assert not keys.verify(b"what was done", good, "0123456789abcdef")
    for nonsense in ("", "not base64!", "é", base64.b64encode(b"short").decode()):
        assert not keys.verify(b"what was done", nonsense, key_id)


def test_a_key_whose_private_half_is_lost_is_retired_and_still_verifies(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signature = keys.sign(b"before")
    old = keys.current_key()
    private_file(folder, old).unlink()
    with caplog.at_level(logging.WARNING):
        new = keys.current_key()
    old.refresh_from_db()
    assert new.key_id != old.key_id
    assert old.retired_at is not None
    assert new.retired_at is None
    assert f"signing key {old.key_id}" in caplog.text
    assert keys.verify(b"before", signature.signature_b64, old.key_id)
    assert keys.sign(b"after").key_id == new.key_id
    assert SigningKey.objects.filter(retired_at=None).count() == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_key_that_others_may_read_signs_nothing(folder: Path, mode: int) -> None:
    path = private_file(folder, keys.current_key())
    path.chmod(mode)
    with pytest.raises(KeyUnusable, match=f"chmod 600 {path}") as caught:
        keys.sign(b"x")
    assert caught.value.exit_code == 3
    path.chmod(0o400)
    keys.sign(b"x")
    assert SigningKey.objects.count() == 1


def test_a_folder_where_others_may_replace_keys_is_refused(folder: Path) -> None:
    keys.current_key()
    folder.chmod(0o777)
    with pytest.raises(KeyUnusable, match=f"chmod 700 {folder}"):
        keys.sign(b"x")
    folder.chmod(0o755)
    keys.sign(b"x")


@pytest.mark.parametrize("content", [b"", b"no key", b"another"])
def test_a_file_that_is_not_the_key_is_refused(folder: Path, content: bytes) -> None:
    path = private_file(folder, keys.current_key())
    if content == b"another":
        other = Ed25519PrivateKey.generate()
        content = load_pem_as(other)
    path.write_bytes(content)
    with pytest.raises(KeyUnusable, match="put back the file"):
        keys.sign(b"x")


def load_pem_as(key: Ed25519PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization as s

    return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())


def test_a_folder_that_cannot_be_made_says_so(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.CUSTODY_KEYS = tmp_path / "file" / "keys"
    with pytest.raises(KeyUnusable, match="point CUSTODY_KEYS at another folder"):
        keys.sign(b"x")


def test_a_key_outlives_the_rollback_of_the_transaction_that_made_it(folder: Path) -> None:
    with transaction.atomic():
        first = keys.sign(b"x").key_id
        transaction.set_rollback(True)
    assert not SigningKey.objects.exists()
    assert keys.sign(b"x").key_id == first
    assert len(list(folder.glob("signing-*.pem"))) == 1


def test_a_database_made_anew_goes_on_with_the_keys_that_are_there() -> None:
    first = keys.sign(b"x").key_id
    SigningKey.objects.all().delete()
    assert keys.sign(b"x").key_id == first


def test_what_a_killed_process_left_half_made_is_removed(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / ".signing-0123456789abcdef.tmp").write_bytes(b"half a key")
    key = keys.current_key()
    assert {p.name for p in folder.iterdir()} == {private_file(folder, key).name, ".lock"}


SIGN_AT_ONCE = """
from operations import keys
from operations.models import SigningKey

waiting, go = os.pipe()
children = []
for _ in range(8):
    child = os.fork()
    if not child:
        os.close(go)
        SigningKey.objects.count()
        os.read(waiting, 1)
        os.write(1, keys.sign(b"x").key_id.encode() + b"\\n")
        os._exit(0)
    children.append(child)
# All of them see the end of the pipe at once.
os.close(go)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


def test_eight_processes_that_start_together_make_one_key(folder: Path) -> None:
    family = start(SIGN_AT_ONCE)
    printed, errors = family.communicate()
    assert family.returncode == 0, errors
    key = SigningKey.objects.get()
    assert printed.split() == [key.key_id] * 8
    assert key.retired_at is None
    assert [p.name for p in folder.glob("*.pem")] == [private_file(folder, key).name]

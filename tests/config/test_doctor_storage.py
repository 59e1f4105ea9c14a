"""`manage.py doctor` on the storage in S3, its locks, and the keys of archives."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pyrage import x25519
from pytest_django import Settings

from operations.storage import storage
from tests.s3_server import S3Server

from .console import findings, names_of_wrong

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.CUSTODY_VAR = tmp_path


def doctor() -> dict[str, Any]:
    out = StringIO()
    with suppress(CommandError):
        call_command("doctor", json=True, stdout=out)
    document: dict[str, Any] = json.loads(out.getvalue())
    return document


def only(document: dict[str, Any], name: str) -> dict[str, Any]:
    [finding] = findings(document, name)
    return finding


def test_a_bucket_is_tried_out_and_its_lock_is_looked_at(
    settings: Settings, s3_server: S3Server
) -> None:
    bucket = s3_server.bucket(lock=True)
    settings.CUSTODY_STORAGE = s3_server.address(bucket)
    settings.CUSTODY_OBJECT_LOCK = "compliance"
    document = doctor()
    assert names_of_wrong(document) == []
    assert only(document, "storage")["detail"] == f"s3://{bucket}/shop takes files"
    assert "locked until its end (compliance)" in only(document, "object lock")["detail"]
    assert document["folders"]["storage"] == settings.CUSTODY_STORAGE
    assert s3_server.versions(bucket) == []
    storage().place.client.close()  # type: ignore[attr-defined]


def test_a_bucket_without_object_lock_is_wrong_when_locks_are_wanted(
    settings: Settings, s3_server: S3Server
) -> None:
    settings.CUSTODY_STORAGE = s3_server.address(s3_server.bucket())
    settings.CUSTODY_OBJECT_LOCK = "governance"
    document = doctor()
    assert names_of_wrong(document) == ["object lock"]
    assert "create-bucket --object-lock-enabled" in only(document, "object lock")["detail"]
    storage().place.client.close()  # type: ignore[attr-defined]


def test_a_folder_cannot_lock(settings: Settings) -> None:
    assert only(doctor(), "object lock")["ok"] is True
    settings.CUSTODY_OBJECT_LOCK = "compliance"
    document = doctor()
    assert names_of_wrong(document) == ["object lock"]
    assert "S3 bucket with object lock" in only(document, "object lock")["detail"]


@pytest.mark.parametrize("address", ["s3://no-such-bucket/shop", "s3://"])
def test_a_bucket_that_is_not_there_is_wrong(
    settings: Settings, s3_server: S3Server, address: str
) -> None:
    settings.CUSTODY_STORAGE = (
        s3_server.address("no-such-bucket") if address != "s3://" else address
    )
    document = doctor()
    assert names_of_wrong(document) == ["storage"]
    assert "CUSTODY_STORAGE" in only(document, "storage")["detail"]


@pytest.fixture
def keys(settings: Settings, tmp_path: Path) -> Callable[..., Path]:
    """Encrypts to these keys, and holds those."""

    def configure(to: list[x25519.Identity], held: list[x25519.Identity]) -> Path:
        settings.CUSTODY_ARCHIVE_RECIPIENTS = [str(key.to_public()) for key in to]
        path = tmp_path / "identity.txt"
        path.write_text("".join(f"{key}\n" for key in held))
        path.chmod(0o600)
        settings.CUSTODY_ARCHIVE_IDENTITY = str(path) if held else ""
        return path

    return configure


def test_keys_of_archives_that_fit_are_fine(keys: Callable[..., Path]) -> None:
    one, two = x25519.Identity.generate(), x25519.Identity.generate()
    for to, held, said in (
        ([], [], "not encrypted"),
        ([], [one], "1 identity for older archives"),
        ([one], [], "nothing here can decrypt them"),
        ([one], [two, one], "2 identities here"),
    ):
        keys(to, held)
        document = doctor()
        assert names_of_wrong(document) == []
        assert said in only(document, "archive keys")["detail"]
        assert str(one) not in json.dumps(document)


def test_keys_of_archives_that_do_not_fit_are_wrong(
    keys: Callable[..., Path], settings: Settings
) -> None:
    one, two = x25519.Identity.generate(), x25519.Identity.generate()
    path = keys([one], [two])
    document = doctor()
    assert names_of_wrong(document) == ["archive keys"]
    assert "belongs to a recipient" in only(document, "archive keys")["detail"]

    keys([one], [one])
    path.chmod(0o644)
    assert f"chmod 600 {path}" in only(doctor(), "archive keys")["detail"]

    path.unlink()
    assert "Cannot read the identity" in only(doctor(), "archive keys")["detail"]

    settings.CUSTODY_ARCHIVE_RECIPIENTS = [str(one)]
    document = doctor()
    assert names_of_wrong(document) == ["archive keys"]
    assert str(one) not in json.dumps(document), "a private key in the wrong place is not shown"

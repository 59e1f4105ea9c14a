"""Locks in S3: put with the file, read back, told from missing rights, and over in time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from operations.storage import (
    LockRefused,
    StorageError,
    StorageLocked,
    StorageMissing,
)
from operations.storage.protocol import LockMode
from operations.storage.s3 import S3Storage
from operations.storage.s3_draft import PIECE
from tests.s3_server import S3Server

from .s3_storages import Make, answer, interfere, put

SOON = timedelta(days=400)


@pytest.mark.parametrize("mode", ["COMPLIANCE", "GOVERNANCE"])
@pytest.mark.parametrize("size", [7, PIECE + 7], ids=["small", "large"])
def test_a_lock_is_put_with_the_file_and_nobody_deletes_it(
    make_s3: Make, s3_server: S3Server, mode: LockMode, size: int
) -> None:
    store = make_s3(mode=mode)
    until = datetime.now(UTC) + SOON
    put(store, "part", b"x" * size, until)
    bucket = store.place.bucket
    head = s3_server.client.head_object(Bucket=bucket, Key="shop/part")
    assert head["ObjectLockMode"] == mode
    assert timedelta(0) <= head["ObjectLockRetainUntilDate"] - until < timedelta(seconds=1)
    assert store.locked_until("part") == head["ObjectLockRetainUntilDate"]
    with pytest.raises(StorageLocked, match=f"until {until:%Y-%m-%d}") as caught:
        store.delete("part")
    assert caught.value.until == head["ObjectLockRetainUntilDate"]
    assert "\n" not in str(caught.value)
    with pytest.raises(ClientError, match="Access Denied"):
        s3_server.client.delete_object(Bucket=bucket, Key="shop/part", VersionId=head["VersionId"])
    assert store.size("part") == size


def test_a_file_without_a_term_is_not_locked(make_s3: Make, s3_server: S3Server) -> None:
    store = make_s3()
    put(store, "certificate")
    assert store.locked_until("certificate") is None
    store.delete("certificate")
    assert s3_server.versions(store.place.bucket) == []


def test_a_lock_is_only_ever_made_longer(make_s3: Make) -> None:
    store = make_s3()
    until = datetime.now(UTC).replace(microsecond=0) + SOON
    put(store, "part", until=until)
    store.lock("part", until - timedelta(days=100))
    assert store.locked_until("part") == until
    store.lock("part", until + timedelta(days=100))
    assert store.locked_until("part") == until + timedelta(days=100)


def test_a_stricter_lock_stays_as_it_is(make_s3: Make, s3_server: S3Server) -> None:
    strict = make_s3()
    until = datetime.now(UTC).replace(microsecond=0) + SOON
    put(strict, "part", until=until)
    make_s3(strict.place.bucket, mode="GOVERNANCE").lock("part", until + timedelta(days=1))
    head = s3_server.client.head_object(Bucket=strict.place.bucket, Key="shop/part")
    assert head["ObjectLockMode"] == "COMPLIANCE"
    assert head["ObjectLockRetainUntilDate"] == until + timedelta(days=1)


def test_once_its_lock_is_over_a_file_can_be_deleted_with_every_version(
    make_s3: Make, s3_server: S3Server
) -> None:
    store = make_s3()
    bucket = store.place.bucket
    put(store, "part", until=datetime.now(UTC) + timedelta(seconds=1))
    s3_server.client.delete_object(Bucket=bucket, Key="shop/part")
    with pytest.raises(StorageMissing, match="remove the marker"):
        store.open("part")
    assert len(s3_server.versions(bucket)) == 2
    while True:
        try:
            store.delete("part")
            break
        except StorageLocked:
            threading.Event().wait(0.2)
    assert s3_server.versions(bucket) == []


def refusing_late(
    store: S3Storage,
    monkeypatch: pytest.MonkeyPatch,
    *,
    refused: int,
    behind: timedelta = timedelta(0),
) -> list[str]:
    """The server's first refusals reach us when the lock is over. Returns what was asked.

    Args:
        behind: by how much the server's clock is.
    """
    asked: list[str] = []

    def late(real: Callable[..., Any], name: str, arguments: dict[str, Any]) -> Any:
        asked.append(name)
        if asked.count("delete_object") <= refused and name == "delete_object":
            head = store.place.client.head_object(Bucket=store.place.bucket, **arguments)
            while datetime.now(UTC) < head["ObjectLockRetainUntilDate"]:
                threading.Event().wait(0.02)
            over = format_datetime(datetime.now(UTC) - behind, usegmt=True)
            raise answer("AccessDenied", 403, "Access Denied", date=over)
        return real(**arguments)

    interfere(store, monkeypatch, late)
    return asked


def test_a_lock_that_ends_while_it_refuses_is_asked_again(
    make_s3: Make, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_s3()
    put(store, "part", until=datetime.now(UTC))
    asked = refusing_late(store, monkeypatch, refused=1)
    store.delete("part")
    assert asked == ["delete_object", "head_object", "delete_object"]
    assert s3_server.versions(store.place.bucket) == []


def test_who_may_not_delete_is_told_of_rights_although_there_was_a_lock(
    make_s3: Make, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_s3()
    put(store, "part", until=datetime.now(UTC))
    asked = refusing_late(store, monkeypatch, refused=2)
    with pytest.raises(StorageError, match="s3:DeleteObjectVersion") as caught:
        store.delete("part")
    assert type(caught.value) is StorageError
    assert asked == ["delete_object", "head_object", "delete_object"]
    assert s3_server.keys(store.place.bucket) == {"part"}


def test_a_lock_holds_by_the_clock_of_the_server(
    make_s3: Make, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is an hour behind this machine's: to us the lock is over."""
    store = make_s3()
    put(store, "part", until=datetime.now(UTC))
    asked = refusing_late(store, monkeypatch, refused=1, behind=timedelta(hours=1))
    with pytest.raises(StorageLocked) as caught:
        store.delete("part")
    head = s3_server.client.head_object(Bucket=store.place.bucket, Key="shop/part")
    assert caught.value.until == head["ObjectLockRetainUntilDate"]
    assert asked == ["delete_object", "head_object"]


def test_a_bucket_without_object_lock_takes_nothing_that_is_to_be_locked(
    make_s3: Make, s3_server: S3Server
) -> None:
    store = make_s3(s3_server.bucket(versions=True))
    for act in (
        store.check_lock,
        lambda: store.draft("part", lock_until=datetime.now(UTC) + SOON),
    ):
        with pytest.raises(LockRefused, match="create-bucket --object-lock") as caught:
            act()
        assert "CUSTODY_OBJECT_LOCK=off" in str(caught.value)
    assert s3_server.versions(store.place.bucket) == []


@pytest.mark.parametrize("lie", ["no lock", "another mode", "shorter"])
def test_a_lock_that_does_not_hold_fails_the_commit_and_nothing_stays(
    make_s3: Make, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    store = make_s3()

    def ignoring(real: Callable[..., Any], name: str, arguments: dict[str, Any]) -> Any:
        """A server that takes the lock's words and does something else."""
        if name == "put_object_retention":
            return {}
        if name == "put_object" and lie == "no lock":
            del arguments["ObjectLockMode"], arguments["ObjectLockRetainUntilDate"]
        found = real(**arguments)
        if name == "head_object" and lie == "another mode":
            found["ObjectLockMode"] = "GOVERNANCE"
        if name == "head_object" and lie == "shorter":
            found["ObjectLockRetainUntilDate"] -= timedelta(seconds=1)
        return found

    interfere(store, monkeypatch, ignoring)
    one = store.draft("part", lock_until=datetime.now(UTC) + SOON)
    two = store.draft("part.json", lock_until=datetime.now(UTC) + SOON)
    with pytest.raises(LockRefused, match="is not locked as COMPLIANCE until") as caught:
        store.commit_all([one, two])
    assert "\n" not in str(caught.value)
    # What is really locked cannot be taken back.
    left = set() if lie == "no lock" else {"part", "part.json"}
    assert s3_server.keys(store.place.bucket) == left


def test_a_bucket_that_locks_every_file_by_itself_is_found_by_a_probe(
    make_s3: Make, s3_server: S3Server
) -> None:
    store = make_s3()
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    s3_server.client.put_object_lock_configuration(
        Bucket=store.place.bucket,
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule},
    )
    with pytest.raises(StorageError, match="default retention"):
        store.probe()
    assert s3_server.versions(store.place.bucket) == []

"""S3: locks that are read back, answers that were lost, servers that fail, all of it in words."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from pytest_django import Settings

from operations.storage import (
    LockRefused,
    StorageError,
    StorageExists,
    StorageFull,
    StorageUnreachable,
    s3_place,
    storage,
)
from operations.storage.s3 import S3Storage
from operations.storage.s3_draft import PIECE
from tests.s3_server import S3Server

from .s3_storages import Make, answer, interfere, put

SOON = timedelta(days=400)


# Answers that do not come.


@pytest.mark.parametrize("size", [7, PIECE + 7], ids=["small", "large"])
def test_a_write_whose_answer_was_lost_is_known_for_our_own(
    make_s3: Make, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    store = make_s3(mode=None)
    lost: list[str] = []

    def losing(real: Callable[..., Any], name: str, arguments: dict[str, Any]) -> Any:
        found = real(**arguments)
        if name in ("put_object", "complete_multipart_upload") and not lost:
            # botocore sends it again: now the name is taken.
            lost.append(name)
            raise answer("PreconditionFailed", 412)
        return found

    interfere(store, monkeypatch, losing)
    put(store, "part", b"x" * size)
    assert lost
    assert store.size("part") == size
    with pytest.raises(StorageExists):
        put(store, "part")


def test_a_write_that_failed_although_it_was_done_is_taken_back(
    make_s3: Make, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_s3(s3_server.bucket(versions=True), mode=None)

    def losing(real: Callable[..., Any], name: str, arguments: dict[str, Any]) -> Any:
        found = real(**arguments)
        if name == "put_object" and arguments["Key"].endswith("b"):
            raise ConnectionClosedError(endpoint_url="http://there")
        return found

    interfere(store, monkeypatch, losing)
    one, two = store.draft("a"), store.draft("b")
    with pytest.raises(StorageUnreachable, match="Check the network"):
        store.commit_all([one, two])
    assert s3_server.versions(store.place.bucket) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (answer("QuotaExceeded", 403), (StorageFull, "Make room")),
        (answer("XMinioStorageFull", 507), (StorageFull, "Make room")),
        (answer("AccessDenied", 403), (StorageError, "s3:PutObject")),
        (answer("SignatureDoesNotMatch", 403), (StorageError, "AWS_SECRET_ACCESS_KEY")),
        (answer("SlowDown", 503), (StorageUnreachable, "Try again in a while")),
        (answer("Whatever", 500), (StorageUnreachable, "Try again in a while")),
        (answer("ConditionalRequestConflict", 409), (StorageUnreachable, "try again")),
        (answer("BadDigest", 400), (StorageError, "Check CUSTODY_STORAGE")),
    ],
)
def test_what_s3_refuses_is_told_in_words_and_the_name_is_free(
    make_s3: Make,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    error: ClientError,
    told: tuple[type[StorageError], str],
) -> None:
    store = make_s3(mode=None)
    kind, said = told

    def refusing(real: Callable[..., Any], name: str, arguments: dict[str, Any]) -> Any:
        if name == "put_object":
            raise error
        return real(**arguments)

    with monkeypatch.context() as patch:
        interfere(store, patch, refusing)
        with pytest.raises(StorageError, match=said) as caught:
            put(store, "part")
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert f"s3://{store.place.bucket}/shop/part" in str(caught.value)
    assert s3_server.keys(store.place.bucket) == set()


def test_a_piece_that_failed_is_never_part_of_a_file(
    make_s3: Make, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_s3(mode=None)

    def refusing(real: Callable[..., Any], name: str, arguments: dict[str, Any]) -> Any:
        if name == "upload_part":
            raise answer("QuotaExceeded", 403)
        return real(**arguments)

    draft = store.draft("part")
    with monkeypatch.context() as patch:
        interfere(store, patch, refusing)
        with pytest.raises(StorageFull):
            draft.write(b"x" * PIECE)
    with pytest.raises(StorageError, match="begin a new one"):
        draft.commit()
    draft.discard()
    assert s3_server.keys(store.place.bucket) == set()


def test_a_connection_that_is_cut_while_reading_is_made_anew(
    make_s3: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_s3(mode=None)
    content = bytes(range(256)) * 40_000
    put(store, "part", content)
    cuts = 0

    def cutting(real: Callable[..., Any], name: str, arguments: dict[str, Any]) -> Any:
        nonlocal cuts
        if name == "get_object" and cuts < 2:
            cuts += 1
            raise ConnectionClosedError(endpoint_url="http://there")
        return real(**arguments)

    interfere(store, monkeypatch, cutting)
    with store.open("part") as file:
        assert file.read() == content
    assert cuts == 2


def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed(
    make_s3: Make, s3_server: S3Server
) -> None:
    store = make_s3(mode=None)
    put(store, "part", b"x" * (6 << 20))
    with store.open("part") as file:
        assert file.read(10) == b"x" * 10
        s3_server.client.put_object(
            Bucket=store.place.bucket, Key="shop/part", Body=b"y" * (6 << 20)
        )
        with pytest.raises(StorageError, match="was replaced while it was read"):
            file.read()


def test_a_server_that_overwrites_is_found_by_a_probe(
    make_s3: Make, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_s3(mode=None)

    def careless(real: Callable[..., Any], name: str, arguments: dict[str, Any]) -> Any:
        arguments.pop("IfNoneMatch", None)
        return real(**arguments)

    interfere(store, monkeypatch, careless)
    with pytest.raises(StorageError, match="does not know PUT with If-None-Match"):
        store.probe()
    assert s3_server.keys(store.place.bucket) == set()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_place, "READ_SECONDS", 0.2)
    monkeypatch.setattr(s3_place, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(s3_place, "ATTEMPTS", 1)


@pytest.mark.parametrize("answers", [True, False], ids=["silent", "nobody there"])
def test_a_server_that_does_not_answer_is_given_up(
    make_s3: Make, impatient: None, answers: bool
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if answers:
            silent.listen()
        store = make_s3("bucket", mode=None, port=silent.getsockname()[1])
        for act in (store.probe, lambda: store.size("a"), lambda: list(store.list(""))):
            with pytest.raises(StorageUnreachable, match="Check the network") as caught:
                act()
            assert "\n" not in str(caught.value)


def test_a_bucket_that_is_not_there_says_so(make_s3: Make) -> None:
    store = make_s3("no-such-bucket", mode=None)
    for act in (store.probe, lambda: list(store.list("")), lambda: put(store, "a")):
        with pytest.raises(StorageError, match="Create the bucket"):
            act()


# The settings.


def test_the_settings_name_a_place_in_s3(settings: Settings, s3_server: S3Server) -> None:
    bucket = s3_server.bucket(lock=True)
    settings.CUSTODY_STORAGE = s3_server.address(bucket)
    store = storage()
    assert store.location("a/b") == f"s3://{bucket}/shop/a/b"
    assert store.location("") == f"s3://{bucket}/shop"
    assert storage() is store
    with pytest.raises(LockRefused, match="CUSTODY_OBJECT_LOCK is off"):
        store.check_lock()
    settings.CUSTODY_OBJECT_LOCK = "governance"
    storage().check_lock()
    assert isinstance(store, S3Storage)
    store.place.client.close()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://", "names no place in S3"),
        ("s3:///prefix", "names no place in S3"),
        ("s3://bucket/prefix?endpont=https://x", "names no place in S3"),
        ("s3://bucket?endpoint=nonsense&region=x", "nonsense"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(
    settings: Settings, address: str, said: str
) -> None:
    settings.CUSTODY_STORAGE = address
    with pytest.raises(StorageError, match=said) as caught:
        storage()
    assert "\n" not in str(caught.value)

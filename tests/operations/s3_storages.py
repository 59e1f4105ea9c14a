"""Storages in S3 that can be lied to, cut off and refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from operations.storage.s3 import S3Storage
from operations.storage.s3_place import S3Place

Make = Callable[..., S3Storage]
"""Makes a storage in a bucket of its own, or in the one that is named."""


def put(
    store: S3Storage, path: str, content: bytes = b"content", until: datetime | None = None
) -> None:
    draft = store.draft(path, lock_until=until)
    try:
        draft.write(content)
        draft.commit()
    finally:
        draft.discard()


def interfere(
    store: S3Storage,
    monkeypatch: pytest.MonkeyPatch,
    with_call: Callable[[Callable[..., Any], str, dict[str, Any]], Any],
) -> None:
    """Puts itself between the storage and every request of it."""
    real = S3Place.call

    def call(place: S3Place, name: str, **arguments: Any) -> Any:
        if place is not store.place:
            return real(place, name, **arguments)
        return with_call(lambda **args: real(place, name, **args), name, arguments)

    monkeypatch.setattr(S3Place, "call", call)


def answer(code: str, status: int = 400, message: str = "no", *, date: str = "") -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {"date": date}},
    }
    return ClientError(response, "PutObject")

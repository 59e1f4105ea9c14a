"""Fixtures of the tests of operations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from operations.storage.protocol import LockMode
from operations.storage.s3 import S3Storage
from operations.storage.s3_place import S3Place
from tests.s3_server import S3Server

from .s3_storages import Make


@pytest.fixture
def make_s3(s3_server: S3Server) -> Iterator[Make]:
    made: list[S3Storage] = []

    def storage_in(
        bucket: str = "", *, mode: LockMode | None = "COMPLIANCE", port: int | None = None
    ) -> S3Storage:
        bucket = bucket or s3_server.bucket(lock=mode is not None)
        made.append(S3Storage(S3Place.at(s3_server.address(bucket, port=port)), mode))
        return made[-1]

    yield storage_in
    for each in made:
        each.place.client.close()

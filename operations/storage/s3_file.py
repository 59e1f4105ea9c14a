"""A file of S3, read in ranges: a slow reader does not hold a connection open."""

from __future__ import annotations

import io
from typing import Any

from operations.storage.errors import StorageError, StorageExists, StorageUnreachable
from operations.storage.s3_errors import explained
from operations.storage.s3_place import S3Place

RANGE = 4 << 20
_TRIES = 3


class S3File(io.RawIOBase):
    """One version of one file, from its beginning to its end."""

    def __init__(self, place: S3Place, path: str) -> None:
        """Raises StorageMissing."""
        self._place, self._path = place, path
        with explained("read", place.location(path)):
            head = place.call("head_object", Key=place.key(path))
        self._size = int(head["ContentLength"])
        self._etag = str(head["ETag"])
        self._at = 0
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest and self._at < self._size:
            self._rest = memoryview(self._fetch())
            self._at += len(self._rest)
        with memoryview(buffer).cast("B") as into:
            length = min(len(into), len(self._rest))
            into[:length] = self._rest[:length]
        self._rest = self._rest[length:]
        return length

    def _fetch(self) -> bytes:
        """The next range. A connection that is cut in the middle of an answer is made anew."""
        for left in reversed(range(_TRIES)):
            try:
                with explained("read", self._place.location(self._path)):
                    upto = min(self._at + RANGE, self._size) - 1
                    answer = self._place.call(
                        "get_object",
                        Key=self._place.key(self._path),
                        Range=f"bytes={self._at}-{upto}",
                        # Never the half of one and the half of another.
                        IfMatch=self._etag,
                    )
                    with answer["Body"] as body:
                        return bytes(body.read())
            except StorageExists:
                raise StorageError(
                    f"{self._place.location(self._path)} was replaced while it was read: find out "
                    "who writes there."
                ) from None
            except StorageUnreachable:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

"""A file on its way into S3: kept in memory while it is small, else sent in pieces.

It has no name before `commit`: a PUT, or the end of a multipart upload, that S3 refuses when the
name is taken. What was put is known by a token in its metadata, because a request whose answer was
lost is sent again and then finds its own object there.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets
from collections.abc import Sequence
from typing import Any

from operations.storage import paths
from operations.storage.errors import StorageError, StorageExists, StorageMissing
from operations.storage.s3_errors import explained
from operations.storage.s3_lock import Lock
from operations.storage.s3_place import S3Place, Version

logger = logging.getLogger(__name__)

PIECE = 8 << 20
"""Bytes in memory, and of a piece of an upload. Pieces grow: S3 takes 10,000 of them."""
_PIECES_OF_A_SIZE = 1000
_TOKEN = "custody-draft"  # noqa: S105, the name of an attribute


class S3Draft:
    """The file `path` while it is written. Used by one thread at a time."""

    def __init__(self, place: S3Place, path: str, *, tag: str, lock: Lock | None) -> None:
        self.path = path
        self.size = 0
        self._place, self._tag, self._lock = place, tag, lock
        self._key = place.key(path)
        self._token = secrets.token_hex(16)
        self._buffer = bytearray()
        self._upload: str | None = None
        self._pieces: list[dict[str, Any]] = []
        self._version: Version | None = None
        self._failed = False
        self._tried = False

    @property
    def name(self) -> str:
        """Nobody else sees a draft that is in memory only."""
        return paths.draft_name(self.path, upload_tag(self._upload) if self._upload else self._tag)

    def write(self, data: bytes, /) -> int:
        self._refuse_closed()
        self._buffer += data
        self.size += len(data)
        while len(self._buffer) >= self._piece_size:
            self._send(self._piece_size)
        return len(data)

    def commit(self) -> None:
        self.commit_together([self])

    @staticmethod
    def commit_together(drafts: Sequence[S3Draft]) -> None:
        """All or none, as far as S3 can: what was put is taken back when a later one fails."""
        waiting = [draft for draft in drafts if draft._version is None]
        try:
            for draft in waiting:
                draft._refuse_closed()
                draft._publish()
            for draft in waiting:
                draft._read_lock_back()
        except BaseException:
            for draft in waiting:
                draft._withdraw()
            raise

    def discard(self) -> None:
        self._buffer.clear()
        if self._version is not None:
            return
        self._failed = True
        self._abort()

    # The pieces.

    @property
    def _piece_size(self) -> int:
        return PIECE * (1 + len(self._pieces) // _PIECES_OF_A_SIZE)

    def _send(self, length: int) -> None:
        """The first `length` bytes of what waits, as one piece."""
        with memoryview(self._buffer) as waiting:
            body = bytes(waiting[:length])
        self._failed = True
        with explained("write", self._place.location(self.path)):
            if self._upload is None:
                begun = self._place.call("create_multipart_upload", **self._head)
                self._upload = str(begun["UploadId"])
            number, checksum = len(self._pieces) + 1, _sha256(body)
            sent = self._place.call(
                "upload_part",
                Key=self._key,
                UploadId=self._upload,
                PartNumber=number,
                Body=body,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=checksum,
            )
        self._failed = False
        self._pieces.append(
            {"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": checksum}
        )
        del self._buffer[:length]

    @property
    def _head(self) -> dict[str, Any]:
        head: dict[str, Any] = {
            "Key": self._key,
            "ChecksumAlgorithm": "SHA256",
            "Metadata": {_TOKEN: self._token},
        }
        if self._lock is not None:
            head["ObjectLockMode"] = self._lock.mode
            head["ObjectLockRetainUntilDate"] = self._lock.until
        return head

    # Its name.

    def _publish(self) -> None:
        if self._upload is not None and self._buffer:
            self._send(len(self._buffer))
        self._failed = self._tried = True
        try:
            with explained("create", self._place.location(self.path)):
                put = self._complete() if self._upload is not None else self._put()
        except StorageExists:
            own = self._own_version()
            if own is None:
                raise
            self._version = own
        else:
            self._version = Version(self._key, put.get("VersionId"))
        self._failed = False
        self._buffer.clear()

    def _put(self) -> dict[str, Any]:
        body = bytes(self._buffer)
        return self._place.call(
            "put_object", **self._head, Body=body, ChecksumSHA256=_sha256(body), IfNoneMatch="*"
        )

    def _complete(self) -> dict[str, Any]:
        return self._place.call(
            "complete_multipart_upload",
            Key=self._key,
            UploadId=self._upload,
            MultipartUpload={"Parts": self._pieces},
            IfNoneMatch="*",
        )

    def _read_lock_back(self) -> None:
        if self._lock is not None and self._version is not None:
            with explained("lock", self._place.location(self.path)):
                # Some servers take no lock with an upload in pieces: they are given it afterwards.
                self._lock.put(self._place, self._version)

    # When it fails.

    def _own_version(self) -> Version | None:
        """What this draft put, though no answer came; None when the name is another's or free."""
        try:
            with explained("look at", self._place.location(self.path)):
                head = self._place.call("head_object", Key=self._key)
        except StorageMissing:
            return None
        if head.get("Metadata", {}).get(_TOKEN) != self._token:
            return None
        return Version(self._key, head.get("VersionId"))

    def _withdraw(self) -> None:
        self._failed = True
        try:
            version = self._version or (self._own_version() if self._tried else None)
            self._version = None
            if version is not None:
                with explained("remove", self._place.location(self.path)):
                    self._place.call("delete_object", **version.named)
        except StorageError as error:
            # The error that led here is the one to tell.
            logger.warning("%s was not committed and may be left: %s", self.path, error)

    def _abort(self) -> None:
        if self._upload is None:
            return
        upload, self._upload = self._upload, None
        try:
            with explained("abort", self._place.location(self.path)):
                self._place.call("abort_multipart_upload", Key=self._key, UploadId=upload)
        except StorageError as error:
            # `list_drafts` still shows it.
            logger.warning("The upload of %s is left behind: %s", self.path, error)

    def _refuse_closed(self) -> None:
        if self._failed or self._version is not None:
            raise StorageError(
                f"The draft of {self._place.location(self.path)} failed or is closed: "
                "begin a new one."
            )


def upload_tag(upload: str) -> str:
    """The part of a draft's name that stands for an upload."""
    return f"upload-{hashlib.sha256(upload.encode()).hexdigest()[:16]}"


def _sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode("ascii")

"""Storage in a bucket of S3, or of a server that speaks its language."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, cast

from botocore.exceptions import ClientError

from operations.storage import paths
from operations.storage.errors import (
    LockRefused,
    StorageError,
    StorageExists,
    StorageLocked,
    StorageMissing,
)
from operations.storage.protocol import Draft, LockMode
from operations.storage.s3_draft import S3Draft, upload_tag
from operations.storage.s3_errors import NEEDS_LOCK, answered_at, code_of, explained
from operations.storage.s3_file import S3File
from operations.storage.s3_lock import Lock
from operations.storage.s3_place import S3Place, Version


class S3Storage:
    """Files below a prefix of a bucket, locked in `mode` where a lock is asked for."""

    def __init__(self, place: S3Place, mode: LockMode | None) -> None:
        self.place, self._mode = place, mode
        self._locks_known = False

    def draft(self, path: str, *, tag: str = "", lock_until: datetime | None = None) -> S3Draft:
        paths.check_path(path)
        tag = tag or secrets.token_hex(8)
        paths.draft_name(path, tag)
        lock = self._lock(lock_until) if lock_until is not None else None
        # Refused now rather than after gigabytes; `commit` refuses for certain.
        if self.exists(path):
            raise StorageExists(
                f"Cannot write {self.location(path)}: it exists. Nothing is ever overwritten: "
                "look at what is there, and move it away if it is not needed."
            )
        return S3Draft(self.place, path, tag=tag, lock=lock)

    def commit_all(self, drafts: Sequence[Draft]) -> None:
        ours: list[S3Draft] = []
        for draft in drafts:
            if not isinstance(draft, S3Draft):
                raise TypeError(f"{draft!r} is a draft of another storage")
            ours.append(draft)
        S3Draft.commit_together(ours)

    def open(self, path: str) -> BinaryIO:
        file = S3File(self.place, paths.check_path(path))
        return cast("BinaryIO", io.BufferedReader(file, buffer_size=1 << 17))

    def exists(self, path: str) -> bool:
        try:
            self._head(path)
        except StorageMissing:
            return False
        return True

    def size(self, path: str) -> int:
        return int(self._head(path)["ContentLength"])

    def list(self, prefix: str) -> Iterator[str]:
        paths.check_prefix(prefix)
        for page in self._pages("list_objects_v2", prefix):
            for found in page.get("Contents", ()):
                path = self.place.path(found["Key"])
                if paths.is_path(path):
                    yield path

    def list_drafts(self, prefix: str) -> Iterator[str]:
        paths.check_prefix(prefix)
        names = [name for name, _, _ in self._uploads(prefix)]
        return iter(sorted(names))

    def delete(self, path: str) -> None:
        paths.check_path(path)
        # The oldest first: whichever is locked, the newest is still there.
        for version in self._versions(path):
            self._delete_version(path, version)

    def delete_draft(self, name: str) -> None:
        target = paths.draft_target(name)
        if target is None:
            raise StorageError(f"{name!r} is not the name of a draft: take it from `list_drafts`.")
        paths.check_path(target)
        for found, key, upload in self._uploads(target):
            if found == name:
                try:
                    with explained("remove", self.place.location(name)):
                        self.place.call("abort_multipart_upload", Key=key, UploadId=upload)
                except StorageMissing:
                    continue

    def locked_until(self, path: str) -> datetime | None:
        until = self._head(path).get("ObjectLockRetainUntilDate")
        return until if until is not None and until > datetime.now(UTC) else None

    def lock(self, path: str, until: datetime) -> None:
        lock = self._lock(until)
        head = self._head(path)
        with explained("lock", self.location(path)):
            lock.put(self.place, Version(self.place.key(path), head.get("VersionId")))

    def check_lock(self) -> None:
        if self._mode is None:
            raise LockRefused(
                "CUSTODY_OBJECT_LOCK is off: set it to compliance or governance to have files "
                "locked."
            )
        if not self._lock_rules():
            raise LockRefused(f"The bucket {self.place.bucket} has no object lock. {NEEDS_LOCK}")
        self._locks_known = True

    def location(self, path: str) -> str:
        return self.place.location(paths.check_path(path) if path else path)

    def probe(self) -> None:
        self._refuse_default_lock()
        path = f"probe-{secrets.token_hex(8)}"
        first, second = self.draft(path), self.draft(path)
        try:
            first.write(b"Does the storage answer?\n")
            first.commit()
            try:
                second.commit()
            except StorageExists:
                return
            raise StorageError(
                f"{self.location('')} overwrites what is there: its server does not know PUT with "
                "If-None-Match. Use a newer version of it, or another."
            )
        finally:
            self.delete(path)

    # Locks.

    def _lock(self, until: datetime) -> Lock:
        if not self._locks_known:
            self.check_lock()
        assert self._mode is not None
        whole = until.astimezone(UTC).replace(microsecond=0)
        return Lock(self._mode, whole if whole >= until else whole + timedelta(seconds=1))

    def _lock_rules(self) -> dict[str, Any]:
        """The bucket's; empty when it has no object lock."""
        try:
            with explained("ask for the object lock of", self.location("")):
                try:
                    found = self.place.call("get_object_lock_configuration")
                except ClientError as error:
                    if code_of(error).startswith("ObjectLockConfigurationNotFound"):
                        return {}
                    raise
        except StorageMissing:
            return {}
        rules: dict[str, Any] = found.get("ObjectLockConfiguration", {})
        return rules if rules.get("ObjectLockEnabled") == "Enabled" else {}

    def _refuse_default_lock(self) -> None:
        """A lock on every file would outlive the term of some, and nothing could be tried out."""
        try:
            rules = self._lock_rules()
        except StorageError:
            if self._mode is not None:
                raise
            # A role that uses no locks need not be allowed to see them.
            return
        if "Rule" in rules:
            raise StorageError(
                f"The bucket {self.place.bucket} locks every file by itself (default retention), "
                "also those that have to go earlier. Remove its default retention: Custody locks "
                "each archive for its own term."
            )

    # Requests.

    def _head(self, path: str) -> dict[str, Any]:
        with explained("look at", self.location(paths.check_path(path))):
            return self.place.call("head_object", Key=self.place.key(path))

    def _pages(self, request: str, prefix: str) -> Iterator[dict[str, Any]]:
        with explained("list", self.place.location(prefix)):
            pages = self.place.client.get_paginator(request)
            yield from pages.paginate(Bucket=self.place.bucket, Prefix=self.place.key(prefix))

    def _uploads(self, prefix: str) -> Iterator[tuple[str, str, str]]:
        """(name of the draft, key, upload) of those that were begun and not ended."""
        for page in self._pages("list_multipart_uploads", prefix):
            for found in page.get("Uploads", ()):
                path = self.place.path(found["Key"])
                if paths.is_path(path):
                    name = paths.draft_name(path, upload_tag(found["UploadId"]))
                    yield name, found["Key"], found["UploadId"]

    def _versions(self, path: str) -> Sequence[Version]:
        """All of them, delete markers included, the oldest first."""
        key = self.place.key(path)
        found = []
        for page in self._pages("list_object_versions", path):
            both = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            found += [each for each in both if each["Key"] == key]
        # S3 lists the newest first.
        found.sort(key=lambda each: each["LastModified"], reverse=True)
        return [Version(key, each.get("VersionId")) for each in reversed(found)]

    def _delete_version(self, path: str, version: Version) -> None:
        with explained("remove", self.location(path)):
            try:
                self.place.call("delete_object", **version.named)
            except ClientError as error:
                if self._refuse_locked(path, version, error):
                    self.place.call("delete_object", **version.named)

    def _refuse_locked(self, path: str, version: Version, error: ClientError) -> bool:
        """Tells a lock from missing rights, which S3 refuses with the same words.

        Returns True when the lock ended between the refusal and the look at it: asked again, the
        server no longer refuses because of it. Raises StorageLocked, or `error` when no lock is
        the reason.
        """
        mode, until = self.place.lock_of(version)
        if until is None:
            raise error
        if until <= answered_at(error):
            return True
        raise StorageLocked(
            f"{self.location(path)} is locked ({str(mode).lower()}) until "
            f"{until.astimezone(UTC):%Y-%m-%d %H:%M} UTC: the storage deletes it for "
            "nobody before that.",
            until=until,
        ) from error

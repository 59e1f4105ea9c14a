"""A bucket that the storage is in, as its server sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pytest_django import Settings

from operations.storage import storage
from operations.storage.s3 import S3Storage
from tests.s3_server import S3Server


@dataclass(frozen=True)
class Bucket:
    name: str
    server: S3Server

    def versions(self, folder: str = "") -> list[tuple[str, str]]:
        """(path, id) of every version and delete marker."""
        found = [
            (key.removeprefix("shop/"), version) for key, version in self.server.versions(self.name)
        ]
        return [each for each in found if each[0].startswith(folder)]

    def locks(self, folder: str = "") -> dict[str, datetime | None]:
        """Until when each file is locked in compliance mode."""
        found = {}
        for path, version in self.versions(folder):
            head = self.server.client.head_object(
                Bucket=self.name, Key=f"shop/{path}", VersionId=version
            )
            strict = head.get("ObjectLockMode") == "COMPLIANCE"
            found[path] = head["ObjectLockRetainUntilDate"] if strict else None
        return found

    def time_passes(self) -> None:
        """Every lock is over. Only the server of the tests lets anybody do this."""
        over = {"Mode": "COMPLIANCE", "RetainUntilDate": datetime.now(UTC) - timedelta(days=1)}
        for path, version in self.versions():
            self.server.client.put_object_retention(
                Bucket=self.name, Key=f"shop/{path}", VersionId=version, Retention=over
            )

    def mark_deleted(self, path: str) -> None:
        """As somebody would who deletes without naming a version."""
        self.server.client.delete_object(Bucket=self.name, Key=f"shop/{path}")


class Buckets:
    """Lets the storage be in S3."""

    def __init__(self, settings: Settings, server: S3Server) -> None:
        self._settings, self._server = settings, server
        self._used: list[S3Storage] = []

    def use(
        self,
        *,
        lock: str = "off",
        can_lock: bool | None = None,
        versions: bool = False,
        port: int | None = None,
    ) -> Bucket:
        """A new bucket, which can lock what is to be locked.

        Args:
            port: of what stands before the server.
        """
        able = lock != "off" if can_lock is None else can_lock
        name = self._server.bucket(lock=able, versions=versions)
        self._settings.CUSTODY_STORAGE = self._server.address(name, port=port)
        self._settings.CUSTODY_OBJECT_LOCK = lock
        store = storage()
        assert isinstance(store, S3Storage)
        self._used.append(store)
        return Bucket(name, self._server)

    def close(self) -> None:
        for each in self._used:
            each.place.client.close()

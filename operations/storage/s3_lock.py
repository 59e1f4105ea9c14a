"""Locks of S3 (object lock): put, and read back before anybody relies on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from botocore.exceptions import ClientError

from operations.storage.errors import LockRefused
from operations.storage.protocol import LockMode
from operations.storage.s3_errors import NEEDS_LOCK
from operations.storage.s3_place import S3Place, Version


@dataclass(frozen=True)
class Lock:
    """What a version is to be locked with."""

    mode: LockMode
    until: datetime
    """A whole second: S3 keeps no more."""

    def holds(self, mode: str | None, until: datetime | None) -> bool:
        """Whether what was read back is as strict, for as long."""
        return mode in ("COMPLIANCE", self.mode) and until is not None and until >= self.until

    def put(self, place: S3Place, version: Version) -> None:
        """Locks the version, and reads the lock back. Raises LockRefused."""
        found = place.lock_of(version)
        if self.holds(*found):
            return
        mode, until = found
        retention = {
            # What is stricter, or lasts longer, is left so.
            "Mode": "COMPLIANCE" if mode == "COMPLIANCE" else self.mode,
            "RetainUntilDate": max(until, self.until) if until is not None else self.until,
        }
        try:
            place.call("put_object_retention", **version.named, Retention=retention)
            found = place.lock_of(version)
        except ClientError as error:
            said = error.response.get("Error", {}).get("Message", error)
            raise self._refused(place, version, f"S3 does not lock it: {said}") from error
        if not self.holds(*found):
            mode, until = found
            raise self._refused(place, version, f"it is locked as {mode} until {until}")

    def _refused(self, place: S3Place, version: Version, why: str) -> LockRefused:
        return LockRefused(
            f"{place.location(place.path(version.key))} is not locked as {self.mode} until "
            f"{self.until:%Y-%m-%d %H:%M} UTC as it was to be: {why}. {NEEDS_LOCK}"
        )

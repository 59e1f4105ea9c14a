"""Where in S3 the files are: a bucket, a prefix in it, and a client to talk to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import boto3
from botocore.config import Config

from operations.storage.errors import StorageError
from operations.storage.s3_errors import explained

CONNECT_SECONDS = 5
READ_SECONDS = 15
ATTEMPTS = 3
"""Of one request. All of them together stay under what a run waits for a write that hangs."""
_PARAMETERS = {"endpoint", "region"}


@dataclass(frozen=True)
class Version:
    """One version of a file, as a request names it."""

    key: str
    id: str | None
    """None in a bucket without versions."""

    @property
    def named(self) -> dict[str, str]:
        return {"Key": self.key} if self.id is None else {"Key": self.key, "VersionId": self.id}


@dataclass(frozen=True)
class S3Place:
    """What an address such as `s3://bucket/prefix?endpoint=https://...&region=...` says."""

    bucket: str
    prefix: str
    """Empty, or ends with a slash."""
    client: Any

    @classmethod
    def at(cls, address: str) -> S3Place:
        """Raises StorageError when the address cannot be meant, or boto3 finds no region."""
        parts = urlsplit(address)
        parameters = dict(parse_qsl(parts.query))
        if not parts.netloc or set(parameters) - _PARAMETERS or parts.fragment:
            raise StorageError(
                f"{address!r} in CUSTODY_STORAGE names no place in S3. It is written "
                "s3://BUCKET/PREFIX, and for a server that is not Amazon's "
                "s3://BUCKET/PREFIX?endpoint=https://HOST:PORT&region=REGION."
            )
        prefix = parts.path.strip("/")
        with explained("reach", address):
            made = _client(parameters.get("endpoint"), parameters.get("region"))
        return cls(parts.netloc, f"{prefix}/" if prefix else "", made)

    def key(self, path: str) -> str:
        return f"{self.prefix}{path}"

    def path(self, key: str) -> str:
        return key.removeprefix(self.prefix)

    def location(self, path: str) -> str:
        return f"s3://{self.bucket}/{self.key(path)}".rstrip("/")

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """One request about this bucket."""
        found: dict[str, Any] = getattr(self.client, name)(Bucket=self.bucket, **arguments)
        return found

    def lock_of(self, version: Version) -> tuple[str | None, datetime | None]:
        """Mode and end of the version's lock, whether or not it is past; None without one.

        A role that may not see locks (s3:GetObjectRetention) sees none.
        """
        head = self.call("head_object", **version.named)
        return head.get("ObjectLockMode"), head.get("ObjectLockRetainUntilDate")


def _client(endpoint: str | None, region: str | None) -> Any:
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        tcp_keepalive=True,
        # What is not Amazon's seldom has a name in DNS for every bucket.
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    return boto3.session.Session().client(
        "s3", endpoint_url=endpoint, region_name=region, config=config
    )

"""A server in this process that speaks S3, and what is in it as nobody's client sees it."""

from __future__ import annotations

import itertools
import logging
import os
from typing import Any

# What boto3 finds by itself, in this process and in those it starts.
os.environ.setdefault("AWS_ACCESS_KEY_ID", "custody-test")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "custody-test")
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")


class S3Server:
    def __init__(self) -> None:
        # Half a second, for those who need it.
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self.host, self.port = self._server.get_host_and_port()
        self.client = self._client()
        self._numbers = itertools.count(1)

    def _client(self) -> Any:
        import boto3

        return boto3.session.Session().client(
            "s3", endpoint_url=f"http://{self.host}:{self.port}", region_name="us-east-1"
        )

    def bucket(self, *, lock: bool = False, versions: bool = False) -> str:
        """A new bucket's name."""
        name = f"bucket-{next(self._numbers)}"
        self.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
        if versions:
            self.client.put_bucket_versioning(
                Bucket=name, VersioningConfiguration={"Status": "Enabled"}
            )
        return name

    def address(self, bucket: str, *, port: int | None = None) -> str:
        """What CUSTODY_STORAGE is set to."""
        endpoint = f"http://{self.host}:{port or self.port}"
        return f"s3://{bucket}/shop?endpoint={endpoint}&region=us-east-1"

    def versions(self, bucket: str) -> list[tuple[str, str]]:
        """(key, id) of every version and delete marker there is."""
        found = self.client.list_object_versions(Bucket=bucket)
        both = [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]
        return sorted((each["Key"], each["VersionId"]) for each in both)

    def keys(self, bucket: str) -> set[str]:
        """Of every version and upload there is, without the prefix."""
        uploads = self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())
        keys = {key for key, _ in self.versions(bucket)} | {each["Key"] for each in uploads}
        return {key.removeprefix("shop/") for key in keys}

    def stop(self) -> None:
        self.client.close()
        self._server.stop()

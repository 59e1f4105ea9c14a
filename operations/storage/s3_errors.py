"""What S3 says, in one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from operations.storage.errors import (
    LockRefused,
    StorageError,
    StorageExists,
    StorageFull,
    StorageMissing,
    StorageUnreachable,
)

_RIGHTS = (
    "The role needs s3:ListBucket, s3:ListBucketVersions, s3:ListBucketMultipartUploads, "
    "s3:GetObject, s3:GetObjectVersion, s3:PutObject, s3:DeleteObject, s3:DeleteObjectVersion and "
    "s3:AbortMultipartUpload there, and for locks s3:GetBucketObjectLockConfiguration, "
    "s3:GetObjectRetention and s3:PutObjectRetention."
)
_MISSING = "If a delete marker hides it, remove the marker; if it was moved, put it back."
_CREDENTIALS = "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the role of this machine."
_LATER = "Try again in a while; if it stays so, look at the server's own state."
_REACH = "Check the network, and the endpoint in CUSTODY_STORAGE."

_BY_CODE: dict[str, tuple[type[StorageError], str]] = {
    "NoSuchKey": (StorageMissing, _MISSING),
    "NoSuchVersion": (StorageMissing, _MISSING),
    "404": (StorageMissing, _MISSING),
    "NoSuchUpload": (StorageMissing, "Somebody else ended this upload: begin again."),
    "NoSuchBucket": (StorageError, "Create the bucket, or correct CUSTODY_STORAGE."),
    "PreconditionFailed": (
        StorageExists,
        "Nothing is ever overwritten: look at what is there, and move it away if it is not needed.",
    ),
    "ConditionalRequestConflict": (StorageUnreachable, "Somebody else writes there: try again."),
    "AccessDenied": (StorageError, _RIGHTS),
    "403": (StorageError, _RIGHTS),
    "InvalidAccessKeyId": (StorageError, _CREDENTIALS),
    "SignatureDoesNotMatch": (StorageError, _CREDENTIALS),
    "ExpiredToken": (StorageError, _CREDENTIALS),
    "QuotaExceeded": (StorageFull, "Make room there or raise the quota, then try again."),
    "XMinioStorageFull": (StorageFull, "Make room there, then try again."),
    "507": (StorageFull, "Make room there, then try again."),
    "EntityTooLarge": (StorageFull, "Raise the largest size of a file there, then try again."),
}
_BUSY = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout"}
_CONFIGURATION = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.NoRegionError,
    exceptions.ProfileNotFound,
    exceptions.ParamValidationError,
)


@contextmanager
def explained(action: str, location: object) -> Iterator[None]:
    """Turns the errors of boto3 inside the block into StorageError."""
    try:
        yield
    except ClientError as error:
        raise _answered(error, f"Cannot {action} {location}") from error
    except _CONFIGURATION as error:
        said = " ".join(str(error).split())
        raise StorageError(
            f"Cannot {action} {location}: {said} {_CREDENTIALS} The region is AWS_DEFAULT_REGION, "
            "or stands in CUSTODY_STORAGE (?region=...)."
        ) from error
    except (BotoCoreError, ValueError) as error:
        # A ValueError is what botocore says of an endpoint that is no URL.
        kind = StorageError if isinstance(error, ValueError) else StorageUnreachable
        said = " ".join(str(error).split()).rstrip(".")
        raise kind(f"Cannot {action} {location}: {said}. {_REACH}") from error


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def answered_at(error: ClientError) -> datetime:
    """When the server answered, by its own clock: that one decides whether a lock is over."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        said = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return datetime.now(UTC)
    return said if said.tzinfo else said.replace(tzinfo=UTC)


def _answered(error: ClientError, what: str) -> StorageError:
    code = code_of(error)
    said = str(error.response.get("Error", {}).get("Message", "")).rstrip(".") or code
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "InvalidRequest" and "lock" in said.lower():
        return LockRefused(f"{what}: {said}. {NEEDS_LOCK}")
    if code in _BUSY or (status >= 500 and code not in _BY_CODE):
        return StorageUnreachable(f"{what}: {said}. {_LATER}")
    kind, remedy = _BY_CODE.get(code, (StorageError, "Check CUSTODY_STORAGE and the bucket."))
    return kind(f"{what}: {said}. {remedy}")


NEEDS_LOCK = (
    "Object lock is turned on when a bucket is made (aws s3api create-bucket "
    "--object-lock-enabled-for-bucket); let CUSTODY_STORAGE name such a bucket, or set "
    "CUSTODY_OBJECT_LOCK=off."
)

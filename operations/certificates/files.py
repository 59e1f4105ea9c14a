"""The names of a certificate's files in the storage, and the form of the signed one.

A certificate of a run has the run in its names, so that a second try finds what a killed one left.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from operations.certificates.canonical import NotCanonical, canonical, read_json
from operations.storage import Storage

_NAME = re.compile(
    r"certificates/(?P<number>C-\d{4}-(?P<counter>\d{6,}))(\.run-(?P<run>\d+))?\.(json|pdf)"
)


@dataclass(frozen=True)
class CertificateName:
    """What the path of a certificate's file says."""

    number: str
    counter: int
    run_id: int | None


@dataclass(frozen=True)
class SignedDocument:
    """What the JSON file of a certificate holds."""

    envelope: dict[str, Any]
    signature: str
    public_key: str

    @property
    def signed_bytes(self) -> bytes:
        return canonical(self.envelope)


def certificate_number(*, year: int, counter: int) -> str:
    return f"C-{year:04}-{counter:06}"


def certificate_paths(number: str, run_id: int | None) -> tuple[str, str]:
    """The paths of the signed JSON and of the PDF."""
    stem = f"certificates/{number}" + (f".run-{run_id}" if run_id is not None else "")
    return f"{stem}.json", f"{stem}.pdf"


def name_of(path: str) -> CertificateName | None:
    """None when the path is not that of a certificate's file."""
    match = _NAME.fullmatch(path)
    if match is None:
        return None
    run = match["run"]
    return CertificateName(match["number"], int(match["counter"]), int(run) if run else None)


def is_number_used(store: Storage, number: str) -> bool:
    """Whether files with this number exist, of whatever run."""
    return any(store.list(f"certificates/{number}."))


def write_document(document: SignedDocument) -> bytes:
    """Indented, for people who open it; the order and the spaces are not what is signed."""
    parts = {
        "certificate": document.envelope,
        "signature": document.signature,
        "public_key": document.public_key,
    }
    return (json.dumps(parts, ensure_ascii=False, indent=2) + "\n").encode()


def read_document(content: bytes) -> SignedDocument:
    """Raises NotCanonical when `content` is not a signed certificate in JSON."""
    try:
        parts = read_json(content.decode())
    except UnicodeDecodeError as error:
        raise NotCanonical(f"It is not a certificate: {error}.") from error
    match parts:
        case {
            "certificate": {"number": str(), "key_id": str()} as envelope,
            "signature": str() as signature,
            "public_key": str() as public_key,
            **nothing_more,
        } if not nothing_more:
            document = SignedDocument(envelope, signature, public_key)
            canonical(document.envelope)
            return document
    raise NotCanonical(
        "It is not a certificate: it must be an object of `certificate`, `signature` and "
        "`public_key`, the certificate with its `number` and `key_id`."
    )

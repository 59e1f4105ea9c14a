"""Whether a certificate is what was signed: its row, its files, or a file that somebody brings."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operations import keys
from operations.certificates.canonical import NotCanonical, canonical
from operations.certificates.files import SignedDocument, read_document
from operations.models import Certificate, SigningKey
from operations.selectors.keys import key_doubt
from operations.storage import StorageError, storage


@dataclass(frozen=True)
class CertificateCheck:
    """What was found. `problems` are lines for people, empty when the certificate is valid."""

    valid: bool
    problems: tuple[str, ...]
    number: str
    key_id: str


def certificate_check(source: Certificate | Path) -> CertificateCheck:
    """Verifies a certificate's row with its files, or one file: the signed JSON, or the PDF.

    A file on its own is verified by the public keys that are registered here. Problems are
    returned; only a file that cannot be read raises OSError.
    """
    if isinstance(source, Certificate):
        return _told(_row_problems(source), source.number, source.key.key_id)
    content = source.read_bytes()
    if content.startswith(b"%PDF-"):
        return _pdf_check(content)
    try:
        document = read_document(content)
    except NotCanonical as error:
        return _told([str(error)], "", "")
    envelope = document.envelope
    return _told(_document_problems(document), envelope["number"], envelope["key_id"])


def _told(problems: list[str] | Iterator[str], number: str, key_id: str) -> CertificateCheck:
    found = tuple(problems)
    return CertificateCheck(valid=not found, problems=found, number=number, key_id=key_id)


def _row_problems(row: Certificate) -> Iterator[str]:
    yield from _key_problems(row.key, row.issued_at.isoformat())
    try:
        signed = canonical(row.body)
    except NotCanonical as error:
        yield f"The content in the database cannot be what was signed: {error}"
        return
    if not keys.signature_fits(signed, row.signature, row.key.public_key):
        yield "The signature does not fit the content in the database: one of them was changed."
    yield from _column_problems(row)
    yield from _json_problems(row, signed)
    yield from _pdf_problems(row)


def _json_problems(row: Certificate, signed: bytes) -> Iterator[str]:
    try:
        with storage().open(row.json_path) as file:
            document = read_document(file.read())
    except (StorageError, NotCanonical) as error:
        yield f"The signed file {row.json_path}: {error}"
        return
    pairs = {
        "content": (document.signed_bytes, signed),
        "signature": (document.signature, row.signature),
        "public key": (document.public_key, row.key.public_key),
    }
    for what, (in_file, in_database) in pairs.items():
        if in_file != in_database:
            yield f"The signed file {row.json_path} has another {what} than the database."


def _pdf_problems(row: Certificate) -> Iterator[str]:
    try:
        with storage().open(row.pdf_path) as file:
            digest = hashlib.sha256(file.read()).hexdigest()
    except StorageError as error:
        yield f"The PDF {row.pdf_path}: {error}"
        return
    if not isinstance(row.body, dict) or digest != row.body.get("pdf_sha256"):
        yield f"The PDF {row.pdf_path} was changed: it is not the one that was signed."


def _column_problems(row: Certificate) -> Iterator[str]:
    columns = {
        "number": row.number,
        "kind": row.kind,
        "subject": row.subject,
        "issued_at": row.issued_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "key_id": row.key.key_id,
    }
    for name, value in columns.items():
        signed = row.body.get(name) if isinstance(row.body, dict) else None
        if signed != value:
            yield f"The database says {name} is {value}; what was signed says {signed}."


def _document_problems(document: SignedDocument) -> Iterator[str]:
    """Problems of a signed JSON file, whoever brings it."""
    envelope = document.envelope
    key = SigningKey.objects.filter(key_id=envelope["key_id"]).first()
    intact = keys.signature_fits(document.signed_bytes, document.signature, document.public_key)
    if key is None:
        yield (
            f"The key {envelope['key_id']} is not one of ours"
            + (", though the signature is intact" if intact else ", and the signature does not fit")
            + ". Ask whoever gave you the certificate where it comes from."
        )
        return
    yield from _key_problems(key, str(envelope.get("issued_at", "")))
    if not keys.signature_fits(document.signed_bytes, document.signature, key.public_key):
        yield "The signature does not fit the content: one of them was changed."
    elif document.public_key != key.public_key:
        yield f"The public key in the file is not that of our key {key.key_id}: it was changed."
    row = Certificate.objects.filter(number=envelope["number"]).first()
    if row is not None and not _same(row.body, envelope):
        yield f"Our certificate {row.number} has other content."


def _pdf_check(content: bytes) -> CertificateCheck:
    digest = hashlib.sha256(content).hexdigest()
    row = Certificate.objects.select_related("key").filter(body__pdf_sha256=digest).first()
    if row is None:
        return _told(
            ["No certificate of ours has this PDF: it was changed, or it was not made here."],
            "",
            "",
        )
    return certificate_check(row)


def _key_problems(key: SigningKey, issued_at: str) -> Iterator[str]:
    if doubt := key_doubt(key, issued_at):
        yield doubt
    try:
        raw = base64.b64decode(key.public_key, validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if keys.key_id_of(raw) != key.key_id:
        yield f"The public key registered as {key.key_id} is not that key: it was exchanged."


def _same(one: Any, other: Any) -> bool:
    try:
        return canonical(one) == canonical(other)
    except NotCanonical:
        return False

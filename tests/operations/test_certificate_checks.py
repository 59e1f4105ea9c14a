"""Whatever was changed of a certificate, by whomever, is found and named."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.contrib.auth.models import User

from operations import keys
from operations.certificates.canonical import canonical
from operations.models import Certificate, Run, SigningKey
from operations.selectors.certificates import certificate_check, certificate_strays
from operations.services.certificates import certificate_issue
from operations.storage import storage
from tests.operations.certificate_bodies import PURGE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def certificate(person: User) -> Certificate:
    run = Run.objects.create(
        kind="purge", subject="shop.events", requester=person, state="succeeded"
    )
    return certificate_issue(kind="disposition", subject="shop.events", body=PURGE, run=run)


def problems(certificate: Certificate) -> str:
    check = certificate_check(Certificate.objects.get(pk=certificate.pk))
    assert check.valid == (not check.problems)
    assert (check.number, check.key_id) == (certificate.number, certificate.key.key_id)
    return "\n".join(check.problems)


def json_file(certificate: Certificate) -> Path:
    return Path(storage().location(certificate.json_path))


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_what_was_not_changed_is_valid_on_its_own_too(certificate: Certificate) -> None:
    assert problems(certificate) == ""
    for path in (certificate.json_path, certificate.pdf_path):
        check = certificate_check(Path(storage().location(path)))
        assert check.valid
        assert check.number == certificate.number


def test_a_changed_body_in_the_database_is_found(certificate: Certificate) -> None:
    certificate.refresh_from_db()
    certificate.body["body"]["tables"][0]["rows"] += 1
    certificate.save()
    found = problems(certificate)
    assert "signature does not fit the content in the database" in found
    assert "has another content than the database" in found


@pytest.mark.parametrize("body", [None, [], "x", {}, {"ratio": 0.5}])
def test_nonsense_in_the_database_is_found(certificate: Certificate, body: Any) -> None:
    Certificate.objects.update(body=body if body is not None else {"body": None})
    assert "content in the database" in problems(certificate)


@pytest.mark.parametrize(
    ("column", "value"),
    [("number", "C-2026-999999"), ("kind", "erasure"), ("subject", "shop.orders")],
)
def test_a_changed_column_is_found(certificate: Certificate, column: str, value: str) -> None:
    signed = getattr(certificate, column)
    setattr(certificate, column, value)
    certificate.save()
    assert problems(certificate) == (
        f"The database says {column} is {value}; what was signed says {signed}."
    )


def test_a_changed_date_is_found(certificate: Certificate) -> None:
    certificate.issued_at -= timedelta(days=30)
    certificate.save()
    assert "The database says issued_at is" in problems(certificate)


def test_a_changed_signature_is_found(certificate: Certificate) -> None:
    certificate.signature = keys.sign(b"something else").signature_b64
    certificate.save()
    found = problems(certificate)
    assert "signature does not fit" in found
    assert "has another signature than the database" in found


def test_an_exchanged_key_is_found(certificate: Certificate) -> None:
    stranger = Ed25519PrivateKey.generate()
    public = base64.b64encode(stranger.public_key().public_bytes_raw()).decode()
    SigningKey.objects.update(public_key=public)
    Certificate.objects.update(
        signature=base64.b64encode(stranger.sign(canonical(certificate.body))).decode()
    )
    assert "it was exchanged" in problems(certificate)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d["certificate"]["body"].update(outcome="x"), "another content"),
        (lambda d: d["certificate"].update(subject="x"), "another content"),
        (lambda d: d.update(signature="x"), "another signature"),
        (lambda d: d.update(public_key="x"), "another public key"),
        (lambda d: d.update(note="x"), "It is not a certificate"),
        (lambda d: d.pop("signature"), "It is not a certificate"),
        (lambda d: d["certificate"].pop("number"), "It is not a certificate"),
        (lambda d: d["certificate"]["body"].update(ratio=0.5), "is a float"),
    ],
)
def test_a_changed_file_is_found(
    certificate: Certificate, change: Callable[[dict[str, Any]], Any], problem: str
) -> None:
    path = json_file(certificate)
    rewrite(path, change)
    assert problem in problems(certificate)
    alone = certificate_check(path)
    assert not alone.valid
    assert alone.problems


def test_spaces_and_the_order_of_keys_in_the_file_do_not_matter(certificate: Certificate) -> None:
    rewrite(json_file(certificate), lambda d: d.update(certificate=d.pop("certificate")))
    assert problems(certificate) == ""
    assert certificate_check(json_file(certificate)).valid


def test_a_missing_file_and_a_changed_pdf_are_found(certificate: Certificate) -> None:
    pdf = Path(storage().location(certificate.pdf_path))
    pdf.write_bytes(pdf.read_bytes() + b"\n%more")
    assert problems(certificate) == (
        f"The PDF {certificate.pdf_path} was changed: it is not the one that was signed."
    )
    check = certificate_check(pdf)
    assert not check.valid
    assert "No certificate of ours has this PDF" in check.problems[0]
    pdf.unlink()
    json_file(certificate).unlink()
    found = problems(certificate)
    assert f"The signed file {certificate.json_path}: Cannot read" in found
    assert f"The PDF {certificate.pdf_path}: Cannot read" in found


def test_a_file_by_a_key_that_is_not_ours_is_not_valid(
    certificate: Certificate, tmp_path: Path
) -> None:
    stranger = Ed25519PrivateKey.generate()
    raw = stranger.public_key().public_bytes_raw()
    envelope = {**certificate.body, "key_id": keys.key_id_of(raw)}
    document = {
        "certificate": envelope,
        "signature": base64.b64encode(stranger.sign(canonical(envelope))).decode(),
        "public_key": base64.b64encode(raw).decode(),
    }
    path = tmp_path / "stranger.json"
    path.write_text(json.dumps(document))
    check = certificate_check(path)
    assert not check.valid
    assert "is not one of ours, though the signature is intact" in check.problems[0]
    # The same, claiming to be by our key.
    document["certificate"] = {**envelope, "key_id": certificate.key.key_id}
    path.write_text(json.dumps(document))
    assert "signature does not fit" in certificate_check(path).problems[0]


def test_a_file_whose_number_we_gave_to_another_is_not_valid(
    certificate: Certificate, tmp_path: Path
) -> None:
    # As after a restore: signed by our key, but the number is another certificate's now.
    envelope = {**certificate.body, "subject": "shop.orders"}
    document = {
        "certificate": envelope,
        "signature": keys.sign(canonical(envelope)).signature_b64,
        "public_key": certificate.key.public_key,
    }
    path = tmp_path / "other.json"
    path.write_text(json.dumps(document))
    assert certificate_check(path).problems == (
        f"Our certificate {certificate.number} has other content.",
    )


def test_certificates_of_a_retired_key_stay_valid(certificate: Certificate, settings: Any) -> None:
    for file in Path(settings.CUSTODY_KEYS).glob("*.pem"):
        file.unlink()
    assert keys.current_key() != certificate.key
    assert problems(certificate) == ""
    assert certificate_check(json_file(certificate)).valid


def test_a_deleted_row_is_found_by_its_files(certificate: Certificate) -> None:
    assert certificate_strays() == []
    certificate.delete()
    assert certificate_strays() == sorted([certificate.json_path, certificate.pdf_path])

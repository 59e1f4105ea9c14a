"""A certificate as commands print it: for programs and for people."""

from __future__ import annotations

from typing import Any

import yaml

from operations.models import Certificate
from operations.selectors.certificate_checks import CertificateCheck
from operations.storage import storage


def summary(certificate: Certificate) -> dict[str, Any]:
    """One entry of a list."""
    return {
        "id": certificate.pk,
        "number": certificate.number,
        "kind": certificate.kind,
        "subject": certificate.subject,
        "run": certificate.run_id,
        "issued_at": certificate.issued_at,
        "key_id": certificate.key.key_id,
    }


def full(certificate: Certificate, check: CertificateCheck) -> dict[str, Any]:
    """All of it, and whether it is valid. `body` is what was certified."""
    store = storage()
    return {
        **summary(certificate),
        "organisation": _envelope(certificate).get("organisation", ""),
        "body": _envelope(certificate).get("body"),
        "signature": certificate.signature,
        "public_key": certificate.key.public_key,
        "json_file": store.location(certificate.json_path),
        "pdf_file": store.location(certificate.pdf_path),
        "valid": check.valid,
        "problems": list(check.problems),
    }


def lines(certificate: Certificate, check: CertificateCheck) -> list[str]:
    """All of it, for people."""
    store = storage()
    facts = {
        "number": certificate.number,
        "kind": certificate.kind,
        "subject": certificate.subject,
        "run": "none" if certificate.run_id is None else str(certificate.run_id),
        "issued": f"{certificate.issued_at:%Y-%m-%d %H:%M:%S} UTC",
        "signed by key": certificate.key.key_id,
        "signed file": store.location(certificate.json_path),
        "PDF": store.location(certificate.pdf_path),
    }
    body = yaml.safe_dump(
        _envelope(certificate).get("body"), allow_unicode=True, sort_keys=False, width=100
    )
    return [
        *(f"{name + ':':<14} {value}" for name, value in facts.items()),
        "",
        body.rstrip(),
        "",
        *(["Valid: it is what was signed."] if check.valid else check.problems),
    ]


def _envelope(certificate: Certificate) -> dict[str, Any]:
    # Somebody with access to the database may have put anything there.
    return certificate.body if isinstance(certificate.body, dict) else {}

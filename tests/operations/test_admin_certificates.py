"""Certificates in the admin: read, checked each time, downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import reverse

from operations.admin.document import sections
from operations.models import Certificate
from operations.runs.states import RunState
from tests.console import make_certificate, make_policy, make_run, person, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def certificate() -> Certificate:
    asker = person("asker", role="operator")
    return make_certificate(make_run(make_policy(), asker, RunState.SUCCEEDED, done=1_234_567))


def page(certificate: Certificate) -> str:
    client = signed_in(person("auditor", role="auditor"))
    return client.get(reverse("admin:operations_certificate_change", args=[certificate.pk])).text


def stored(path: str) -> Path:
    return Path(settings.CUSTODY_STORAGE) / path


def test_a_certificate_is_readable_and_found_valid(certificate: Certificate) -> None:
    text = page(certificate)
    assert "<strong>Valid</strong>" in text
    for shown in (
        certificate.number,
        "1,234,567 rows had reached the end of their term",
        "Disposition",
        "2 Jan 2030, 03:04 UTC",
        "Copies that remain",
        "Backups hold the rows until they expire.",
        certificate.key.key_id,
    ):
        assert shown in text, shown
    assert reverse("admin:operations_run_change", args=[certificate.run_id]) in text


def test_what_was_changed_after_signing_is_said(certificate: Certificate) -> None:
    certificate.body["body"]["disposition"] = "archived"
    certificate.save(update_fields=["body"])
    text = page(certificate)
    assert "Not valid: do not rely on it" in text
    assert "The signature does not fit the content" in text


@pytest.mark.parametrize(
    ("form", "kind"), [("pdf", "application/pdf"), ("json", "application/json")]
)
def test_its_files_are_downloaded_as_they_were_signed(
    certificate: Certificate, form: str, kind: str
) -> None:
    client = signed_in(person("officer", role="officer"))
    answer = client.get(reverse("admin:operations_certificate_file", args=[certificate.pk, form]))
    content = answer.getvalue()
    assert answer["Content-Type"] == kind
    assert answer["Content-Disposition"] == f'attachment; filename="{certificate.number}.{form}"'
    assert content == stored(getattr(certificate, f"{form}_path")).read_bytes()
    if form == "json":
        assert json.loads(content)["certificate"]["number"] == certificate.number


def test_a_missing_file_is_said_on_the_page(certificate: Certificate) -> None:
    stored(certificate.pdf_path).unlink()
    client = signed_in(person("officer", role="officer"))
    address = reverse("admin:operations_certificate_file", args=[certificate.pk, "pdf"])
    answer = client.get(address, follow=True)
    assert answer.status_code == 200
    assert certificate.pdf_path in answer.text


def test_only_its_own_two_files_can_be_asked_for(certificate: Certificate) -> None:
    client = signed_in(person("officer", role="officer"))
    for form in ("body", "key"):
        address = reverse("admin:operations_certificate_file", args=[certificate.pk, form])
        assert client.get(address).status_code == 404


def test_a_document_becomes_sections_with_its_long_lists_last() -> None:
    found = sections(
        {
            "parts": [{"rows": 1_000, "file": "a/b.csv", "sha256": "f" * 64}] * 300,
            "reason": "",
            "outcome": "complete",
            "policy": {"version": 12_345, "name": "events"},
        }
    )
    assert [section.title for section in found] == ["What was certified", "Policy", "Parts"]
    plain, policy, parts = found
    assert [(fact.label, fact.value) for fact in plain.facts] == [
        ("Outcome", "complete"),
        ("Reason", "none"),
    ]
    assert [fact.value for fact in policy.facts] == ["events", "12345"]
    assert (len(parts.rows), parts.left_out) == (200, 100)
    assert parts.rows[0][1] == "1,000"
    assert 'title="a/b.csv"' in parts.rows[0][0]

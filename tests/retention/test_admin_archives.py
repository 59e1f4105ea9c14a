"""Archives in the admin: what they hold, part by part."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from operations.runs.states import RunState
from retention.models import Archive
from tests.console import (
    make_archive,
    make_certificate,
    make_policy,
    make_run,
    person,
    signed_in,
)

pytestmark = pytest.mark.django_db


def furnished(parts: int) -> Archive:
    policy = make_policy()
    run = make_run(policy, person("asker"), RunState.SUCCEEDED, done=1_000 * parts)
    make_certificate(run)
    return make_archive(run, policy, parts=parts)


def test_an_archive_says_what_it_holds_and_where_it_comes_from() -> None:
    archive = furnished(parts=3)
    client = signed_in(person("auditor", role="auditor"))
    text = client.get(reverse("admin:retention_archive_change", args=[archive.pk])).text
    certificate = archive.run.certificates.get()
    for shown in (
        archive.name,
        "3,000 rows of app.events in 3 parts",
        "6.0 KiB",
        "for ever",
        f"{1:064x}",
        reverse("admin:operations_run_change", args=[archive.run_id]),
        reverse("admin:retention_retentionpolicy_change", args=[archive.policy_id]),
        reverse("admin:operations_certificate_change", args=[certificate.pk]),
    ):
        assert shown in text, shown


def test_who_may_not_see_certificates_gets_their_number_without_a_link() -> None:
    archive = furnished(parts=1)
    client = signed_in(person("support", role="support"))
    text = client.get(reverse("admin:retention_archive_change", args=[archive.pk])).text
    certificate = archive.run.certificates.get()
    assert certificate.number in text
    assert reverse("admin:operations_certificate_change", args=[certificate.pk]) not in text


def test_many_parts_are_shown_in_pages_with_as_few_queries_as_one() -> None:
    archive = furnished(parts=120)
    client = signed_in(person("auditor", role="auditor"))
    address = reverse("admin:retention_archive_change", args=[archive.pk])
    with CaptureQueriesContext(connection) as captured:
        first = client.get(address).text
    assert len(captured) <= 12
    assert (f"{50:064x}" in first, f"{51:064x}" in first) == (True, False)
    assert f"{120:064x}" in client.get(f"{address}?parts=3").text


def test_the_list_shows_rows_and_sizes_for_people() -> None:
    furnished(parts=1_234)
    client = signed_in(person("support", role="support"))
    text = client.get(reverse("admin:retention_archive_changelist")).text
    assert "1,234,000" in text
    assert "2.4 MiB" in text
    assert "Complete" in text

"""The rows of archives in the admin: searched, masked, chosen and put back."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from operations.models import Run
from operations.services.run_execute import run_execute
from retention.admin import archive_search
from retention.models import Archive
from tests.console import person, signed_in

from .archiving import OLD, archive_of, command

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def archive(execute: Execute) -> Archive:
    execute(
        "CREATE TABLE app.people (id int PRIMARY KEY, created_at timestamptz, email text,"
        " about jsonb, gone text)"
    )
    execute(
        f"INSERT INTO app.people SELECT n, {OLD}, 'p' || n || '@example.org',"
        " jsonb_build_object('city', 'Berlin <b>'), NULL FROM generate_series(1, 120) n"
    )
    return archive_of("people", archive_days=30)


def somebody(role: str) -> tuple[User, Client]:
    """Roles are as migrations made them; the tables of users were emptied since."""
    user = person(role, role=role)
    return user, signed_in(user)


def rows_page(archive: Archive) -> str:
    return reverse("admin:retention_archive_rows", args=[archive.pk])


def restore_page(archive: Archive) -> str:
    return reverse("admin:retention_archive_restore", args=[archive.pk])


def emails(text: str) -> list[str]:
    return re.findall(r"<td title=\"(\S+@\S+)\">", text)


def test_who_may_search_finds_rows_by_their_values_and_reads_on(archive: Archive) -> None:
    _, client = somebody("support")
    address = rows_page(archive)
    text = client.get(address).text
    assert (len(emails(text)), "Read to row 50 of 120." in text) == (50, True)
    after = re.search(r'name="after" value="(\d+:\d+)"', text)
    assert after
    text = client.post(address, {"after": after[1]}).text
    assert emails(text)[0] == "p51@example.org"
    text = client.post(address, {"where": "email = 'p77@example.org'"}).text
    assert emails(text) == ["p77@example.org"]
    assert "Berlin &lt;b&gt;" in text
    assert "Read to the end." in text
    text = client.post(address, {"where": "email = 'nobody'"}).text
    assert "No row of this archive meets the condition." in text
    text = client.post(address, {"where": "emial = 'x'"}).text
    assert "Did you mean email?" in text
    told = list(LogEntry.objects.values_list("change_message", flat=True))
    assert any("found by email" in each for each in told)
    assert not any("p77" in each for each in told), "the log does not name who was looked for"


def test_who_may_only_look_sees_masked_values_and_has_no_condition(archive: Archive) -> None:
    _, client = somebody("auditor")
    text = client.get(rows_page(archive)).text
    assert "p7@example.org" not in text
    assert emails(text)[0] == "p***@e***.org"
    assert "Berlin" not in text
    assert 'name="where"' not in text.replace('type="hidden" name="where" value=""', "")
    assert client.post(rows_page(archive), {"where": "id = 7"}).status_code == 403
    assert client.get(restore_page(archive)).status_code == 403
    assert 'name="row"' not in text


def test_a_search_that_takes_too_long_says_how_far_it_came(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_search, "SECONDS", -1.0)
    monkeypatch.setattr("retention.services.archive_rows.SLICE", 2_000)
    monkeypatch.setattr("retention.services.part_reader._UNPACKED", 1_000)
    _, client = somebody("support")
    text = client.post(rows_page(archive), {"where": "id = 119"}).text
    for _ in range(20):
        after = re.search(r'name="after" value="(\d+:\d+)"', text)
        if after is None:
            break
        text = client.post(rows_page(archive), {"where": "id = 119", "after": after[1]}).text
        if emails(text):
            break
    assert emails(text) == ["p119@example.org"]


def test_chosen_rows_are_put_back_after_a_look_and_a_reason(
    execute: Execute, archive: Archive
) -> None:
    user, client = somebody("support")
    execute("INSERT INTO app.people (id, email) VALUES (8, 'other')")
    chosen = {"chosen": "yes", "row": ["1:7", "1:8"], "where": "id IN (7, 8)"}
    text = client.post(restore_page(archive), chosen).text
    assert "2 rows of app.people: put back?" in text
    assert "is there already and differs in" in text
    assert not Run.objects.filter(kind="archive_restore").exists()
    response = client.post(restore_page(archive), {**chosen, "reason": "case 4711"})
    run = Run.objects.get(kind="archive_restore")
    assert response["Location"] == reverse("admin:operations_run_change", args=[run.pk])
    assert (run.requester, run.reason, run.plan["rows_chosen"]) == (user, "case 4711", 2)
    run_execute(run_id=run.pk)
    assert execute("SELECT id, email FROM app.people ORDER BY id") == [
        (7, "p7@example.org"),
        (8, "other"),
    ]
    page = client.get(reverse("admin:operations_run_change", args=[run.pk])).text
    assert "Row 8" in page
    assert reverse("admin:retention_archive_change", args=[archive.pk]) in page


def test_nothing_chosen_restores_nothing(archive: Archive) -> None:
    _, client = somebody("support")
    response = client.post(restore_page(archive), {"chosen": "yes"}, follow=True)
    assert "No row was chosen." in response.text
    assert not Run.objects.filter(kind="archive_restore").exists()


def test_all_that_match_go_into_another_schema_when_their_table_changed(
    execute: Execute, archive: Archive
) -> None:
    _, client = somebody("officer")
    execute("ALTER TABLE app.people DROP gone")
    given = {"all": "yes", "where": "id <= 30", "reason": "inspection"}
    text = client.post(restore_page(archive), {"all": "yes", "where": "id <= 30"}).text
    assert "column gone was dropped" in text
    assert "id &lt;= 30" in text
    client.post(restore_page(archive), {**given, "into_schema": "rescue"})
    run = Run.objects.get(kind="archive_restore")
    run_execute(run_id=run.pk)
    try:
        assert execute("SELECT count(*) FROM rescue.people") == [(30,)]
    finally:
        execute("DROP SCHEMA IF EXISTS rescue CASCADE")
    client.post(restore_page(archive), {**given, "left_out": "gone"})
    run = Run.objects.filter(kind="archive_restore").first()
    assert run is not None
    run_execute(run_id=run.pk)
    assert execute("SELECT count(*) FROM app.people") == [(30,)]


def test_a_term_is_lengthened_by_an_officer_and_shown(archive: Archive) -> None:
    _, client = somebody("officer")
    address = reverse("admin:retention_archive_keep", args=[archive.pk])
    early = {"until": "2026-01-01", "reason": "audit"}
    text = client.post(address, early, follow=True).text
    assert "a term can only be lengthened" in text
    response = client.post(address, {"until": "2101-01-01", "reason": "audit"}, follow=True)
    assert "Kept until 1 Jan 2101" in response.text
    archive.refresh_from_db()
    assert archive.expires_at is not None
    assert archive.expires_at.year == 2101
    assert "Reason: audit" in LogEntry.objects.latest("pk").change_message


def test_lists_and_pages_show_terms_that_are_over_and_what_is_destroyed(archive: Archive) -> None:
    _, client = somebody("officer")
    listed = reverse("admin:retention_archive_changelist")
    assert archive.name not in client.get(f"{listed}?term=over").text
    Archive.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert archive.name in client.get(f"{listed}?term=over").text
    address = reverse("admin:retention_archive_change", args=[archive.pk])
    assert "the next expiry destroys it" in client.get(address).text
    command("archive_expire")
    text = client.get(address).text
    assert "Destroyed by" in text
    assert "Search its rows" not in text
    assert "was destroyed on" in client.get(rows_page(archive)).text
    run = Run.objects.get(kind="archive_expire")
    page = client.get(reverse("admin:operations_run_change", args=[run.pk])).text
    assert archive.name in page

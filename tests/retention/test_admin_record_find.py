"""The page "Find a record": what each person is shown, and the one button that brings it back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from auditing.services.track import table_track
from retention.models import Archive, Deletion
from tests.auditing.reading import text_of
from tests.console import person as somebody
from tests.console import signed_in

from .archiving import OLD, archive_of
from .softdeleting import enable, soft_delete

pytestmark = [pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def shop(governed: str, execute: Execute, person: User) -> None:
    """Two tables: one audited and with a bin, and one of which the console shows nobody a row."""
    execute(
        "CREATE TABLE app.people (id bigint PRIMARY KEY, email text, name text, token text);"
        "CREATE TABLE app.mail (id bigint PRIMARY KEY, email text);"
        "INSERT INTO app.mail VALUES (1, 'ada@x.org')"
    )
    table_track("app.people", actor=person, reason="")
    execute(
        "INSERT INTO app.people VALUES (1, 'ada@x.org', 'Ada <b>L', 'hush'),"
        " (2, 'bob@x.org', 'Bob', NULL), (3, 'cy@x.org', 'Cy', NULL)"
    )
    enable("people")


@pytest.fixture
def deletion(shop: None) -> Deletion:
    return soft_delete("people", 2)


@pytest.fixture
def archive(shop: None, execute: Execute) -> Archive:
    execute(
        f"CREATE TABLE app.old AS SELECT 7::int AS id, 'eve@x.org' AS email, {OLD} AS created_at"
    )
    execute("ALTER TABLE app.old ADD PRIMARY KEY (id)")
    return archive_of("old")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy."""
    monkeypatch.setattr("auditing.admin.record_find.SECONDS", 60.0)


def page(client: Client, text: str, **more: Any) -> Any:
    answer = client.post(reverse("admin:auditing_trackedtable_find"), {"q": text, **more})
    assert answer.status_code == 200
    return answer


@pytest.mark.usefixtures("patient")
def test_support_finds_what_it_may_see_and_no_more(
    deletion: Deletion, archive: Archive, execute: Execute
) -> None:
    support = signed_in(somebody("sue", role="support"))
    live = page(support, "ada@x.org")
    assert re.search(r"Ada <b>L\s+ada@x.org\s+app.people 1 , found by email", text_of(live))
    assert escape("Ada <b>L") in live.content.decode()
    assert "Not looked at Because the console does not show you its rows: app.mail" in text_of(live)
    assert "app.mail 1" not in text_of(live)
    gone = page(support, "bob@x.org")
    restore = reverse("admin:retention_deletion_restore", args=[deletion.pk])
    assert f'href="{restore}"' in gone.content.decode()
    assert "In the bin 1 record" in text_of(gone)
    purged = page(support, "eve@x.org")
    target = reverse("admin:retention_archive_restore", args=[archive.pk])
    assert re.search(
        rf'action="{target}".*name="row" value="1:1".*name="chosen" value="yes"',
        purged.content.decode(),
    )
    confirm = support.post(target, {"row": "1:1", "chosen": "yes"})
    assert "Restore" in text_of(confirm)
    # Who read a row of an archive is in its log; what was looked for is not.
    (entry,) = LogEntry.objects.filter(object_id=str(archive.pk))
    assert entry.change_message == "Rows were looked at: 1, found by a search everywhere."


@pytest.mark.usefixtures("patient")
def test_an_auditor_is_offered_nothing_to_restore_and_sees_no_bin_and_no_archive(
    deletion: Deletion, archive: Archive, execute: Execute
) -> None:
    auditor = signed_in(somebody("paul", role="auditor"))
    shown = page(auditor, "eve@x.org")
    assert archive.name not in text_of(shown)
    assert "Because you may not search them: archives" in text_of(shown)
    gone = page(auditor, "bob@x.org").content.decode()
    assert reverse("admin:retention_deletion_restore", args=[deletion.pk]) not in gone
    execute("DELETE FROM app.people WHERE id = 3")
    deleted = page(auditor, "cy@x.org")
    assert "deleted; its last version is 2" in text_of(deleted)
    assert "/restore/" not in deleted.content.decode()
    assert not LogEntry.objects.exists()


@pytest.mark.usefixtures("patient")
def test_somebody_without_the_audit_has_no_such_page(shop: None) -> None:
    nobody = signed_in(somebody("nobody"))
    address = reverse("admin:auditing_trackedtable_find")
    assert nobody.get(address).status_code == 403
    assert nobody.post(address, {"q": "ada@x.org"}).status_code == 403
    assert Client().get(address).status_code == 302
    assert 'id="find-form"' not in nobody.get(reverse("admin:index")).content.decode()


@pytest.mark.usefixtures("patient")
def test_the_page_by_itself_with_an_address_and_with_nothing_found(shop: None) -> None:
    boss = signed_in(User.objects.create_superuser("boss"))
    address = reverse("admin:auditing_trackedtable_find")
    empty = boss.get(address)
    assert "autofocus" in empty.content.decode()
    assert "Looked for" not in text_of(empty)
    # Whoever may do everything sees every table.
    linked = boss.get(address, {"q": "ada@x.org"})
    assert "app.mail 1" in text_of(linked)
    assert "no-store" in linked["Cache-Control"]
    assert linked["Referrer-Policy"] == "same-origin"
    assert "No such record: everything was looked at." in text_of(page(boss, "zz@x.org"))
    assert "Null characters are not allowed" in text_of(page(boss, "a\0b"))
    assert "hush" not in text_of(page(boss, "ada"))
    assert "No such record" in text_of(page(boss, "hush"))
    by_key = boss.get(address, {"table": 5, "key": "1"})
    assert by_key["Location"].endswith("/find/key/?table=5&key=1")
    assert 'id="find-form"' in boss.get(reverse("admin:index")).content.decode()


def test_what_was_not_looked_at_can_be_looked_at_longer(
    shop: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditing.admin.record_find.SECONDS", 0.0001)
    boss = signed_in(User.objects.create_superuser("boss"))
    short = page(boss, "zz@x.org")
    assert "No such record was found where it was looked for." in text_of(short)
    assert "Because there was no time:" in text_of(short)
    assert "Look longer" in text_of(short)
    assert "everything was looked at" in text_of(page(boss, "zz@x.org", longer="yes"))


@pytest.mark.usefixtures("patient")
def test_one_standing_can_be_shown_alone(deletion: Deletion, archive: Archive) -> None:
    support = signed_in(somebody("sue", role="support"))
    everywhere = page(support, "x.org")
    assert "Everywhere Live 2 In the bin 1 In an archive 1 Deleted, in history " in (
        text_of(everywhere)
    )
    alone = page(support, "x.org", only="bin")
    assert re.findall(r'value="(\w*)" class="c-segment" aria-pressed="true"', _html(alone)) == [
        "bin"
    ]
    assert "In the bin 1 record" in text_of(alone)
    assert "Live 2" not in text_of(alone)
    assert "No such record live" in text_of(page(support, "bob@x.org", only="live"))
    # A place that somebody may not see is offered to nobody, and answers nothing.
    auditor = signed_in(somebody("paul", role="auditor"))
    offered = re.findall(r'name="only" value="(\w*)" class="c-segment"', _html(page(auditor, "x")))
    assert offered == ["", "live", "history"]
    refused = page(auditor, "bob@x.org", only="bin")
    assert "Select a valid choice" in text_of(refused)
    assert "Looked for" not in text_of(refused)


def _html(answer: Any) -> str:
    return str(answer.content.decode())

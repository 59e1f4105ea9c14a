"""The bin in the admin: found by what one remembers, looked at, restored whole and in part."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from retention.models import Deletion
from retention.services.record_delete import record_delete
from retention.services.record_restore import record_restore
from tests.console import person, signed_in

from .binning import ADA, BEN, EMAIL, whole
from .softdeleting import app

Execute = Callable[..., list[tuple[Any, ...]]]
LIST = reverse("admin:retention_deletion_changelist")


@pytest.fixture
def client(sue: User) -> Client:
    return signed_in(sue)


@pytest.fixture
def before(sue: User, execute: Execute) -> dict[str, list[tuple[Any, ...]]]:
    """The shop before anything was deleted."""
    return whole(execute)


@pytest.fixture
def deletion(sue: User, before: object) -> Deletion:
    found = record_delete(
        table=app("customers"), record_id=str(ADA), actor=sue, reason="Ticket 12"
    ).deletion
    assert found is not None
    return found


def page(deletion: Deletion | int, name: str = "change") -> str:
    number = deletion if isinstance(deletion, int) else deletion.pk
    return reverse(f"admin:retention_deletion_{name}", args=[number])


def told(text: str) -> str:
    """The words of a page."""
    body = re.sub(r"(?s)<(script|style|select)\b.*?</\1>|<[^>]+>", " ", text)
    return re.sub(r"\s+", " ", html.unescape(body))


def conflict_form(text: str) -> dict[str, str]:
    """What the page has signed of its conflicts."""
    return dict(re.findall(r'name="(conflict-\d+)" value="([^"]+)"', text))


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ("ADA@example", ""),
        ("lovelace ada", ""),
        (str(ADA), ""),
        ("SO-1003", "found in app.orders 503"),
        ("2026-11-18", "found in app.orders 503"),
        ("gear wheel 3", "found in app.lines 502, 3"),
        ("ticket 12", ""),
        ("sue", ""),
        ("today", ""),
    ],
)
def test_it_is_found_by_what_a_person_remembers(
    deletion: Deletion, client: Client, words: str, where: str
) -> None:
    text = told(client.post(LIST, {"q": words}).text)
    assert "Ada Lovelace ada@example.org, +44 20 7946 0018 app.customers" in text
    assert where in text


@pytest.mark.parametrize("words", ["ben", "a%e", "a_a@example", "pbkdf2", "yesterday", "' OR 1=1"])
def test_what_is_not_in_the_bin_is_not_found(
    deletion: Deletion, client: Client, words: str
) -> None:
    text = told(client.post(LIST, {"q": words}).text)
    assert "Nothing in the bin fits." in text
    assert "Ada Lovelace" not in text


def test_filters_hold_beside_a_search_and_without_one(
    deletion: Deletion, client: Client, sue: User
) -> None:
    record_delete(table=app("orders"), record_id="504", actor=sue, reason="a double")
    found = told(client.get(LIST).text)
    assert found.index("SO-1004") < found.index("Ada Lovelace")
    for filters, names in (
        ({"table": "app.customers"}, ["Ada Lovelace"]),
        ({"table": "app.lines"}, ["SO-1004", "Ada Lovelace"]),
        ({"state": "deleted"}, ["SO-1004", "Ada Lovelace"]),
        ({"state": "refused"}, []),
        ({"who": "SU"}, ["SO-1004", "Ada Lovelace"]),
        ({"who": "tom"}, []),
        ({"until": "2020-01-01"}, []),
        ({"since": "2020-01-01"}, ["SO-1004", "Ada Lovelace"]),
    ):
        for text in (client.get(LIST, filters).text, client.post(LIST, filters | {"q": "1"}).text):
            shown = [name for name in ("SO-1004", "Ada Lovelace") if name in told(text)]
            assert shown == names, filters
    assert (
        "before the beginning" in client.get(LIST, {"since": "2026-2-1", "until": "2026-1-1"}).text
    )


def test_the_page_shows_all_that_went_along_and_what_lost_its_reference(
    deletion: Deletion, client: Client
) -> None:
    text = told(client.get(page(deletion)).text)
    assert "Ada Lovelace In the bin ada@example.org" in text
    assert "16 records in all" in text
    tree = "app.customers 1 1 app.addresses 1 1 app.orders 3 3 app.lines 11 11"
    assert tree in text
    assert "app.orders 504 Comes back on restore ship_to 21 → NULL" in text
    assert "SO-1001 paid 2026-10-02 4711 501" in text
    assert "Held no" in text
    assert "pbkdf2" not in text


def test_rows_are_paged_by_their_key(deletion: Deletion, client: Client) -> None:
    text = client.get(page(deletion)).text
    assert "501, 5" in told(text)
    assert "502, 1" not in told(text)
    more = re.search(r'href="(\?table=\d+)#rows">Show more', text)
    assert more
    assert "Note book 2 2 503, 2" in told(client.get(page(deletion) + more[1]).text)


def test_who_may_not_restore_sees_what_looks_personal_masked(
    deletion: Deletion, execute: Execute
) -> None:
    client = signed_in(person("eye", role="auditor"))
    for text in (
        client.get(LIST).text,
        client.get(page(deletion)).text,
        client.post(LIST, {"q": "sue"}).text,
    ):
        assert "A*** (12 characters)" in text
        for secret in ("Lovelace", "ada@", "7946", "St James", "Gear wheel", "SO-1001"):
            assert secret not in text
        assert "Restore" not in told(text).replace("Restorable", "").replace("Restored", "")
    # A search tells of a value whether it is there, masked or not.
    for words in (EMAIL, str(ADA)):
        assert "Nothing in the bin fits." in told(client.post(LIST, {"q": words}).text)


def test_whole_and_nobody_else_is_asked(
    deletion: Deletion, client: Client, execute: Execute, before: object
) -> None:
    gone = whole(execute)
    text = told(client.get(page(deletion, "restore")).text)
    assert "Records 16" in text
    assert "References put back 1" in text
    assert whole(execute) == gone, "looking has changed nothing"
    answer = client.post(page(deletion, "restore"), {"confirmed": "yes", "reason": ""}, follow=True)
    assert (
        "Restored: 1 row of app.customers, 1 row of app.addresses, 3 rows of app.orders,"
        " 11 rows of app.lines. 1 reference put back."
    ) in told(answer.text)
    assert whole(execute) == before
    deletion.refresh_from_db()
    assert (deletion.state, deletion.restored_by) == ("restored", "console:sue")
    assert "Restored: 1 row of app.customers" in LogEntry.objects.latest("pk").change_message


def test_the_second_of_two_people_sees_who_was_faster(
    deletion: Deletion, client: Client, sue: User, execute: Execute, before: object
) -> None:
    tom = person("tom", role="officer")
    assert "Restore Ada Lovelace?" in client.get(page(deletion, "restore")).text
    record_restore(deletion_id=deletion.pk, actor=tom)
    for answer in (
        client.get(page(deletion, "restore"), follow=True),
        client.post(page(deletion, "restore"), {"confirmed": "yes", "reason": ""}, follow=True),
    ):
        assert f"Deletion {deletion.pk} was restored by tom on" in told(answer.text)
    assert whole(execute) == before


def test_a_taken_mail_address_is_shown_with_its_choices_and_changed(
    deletion: Deletion, client: Client, execute: Execute, before: dict[str, list[tuple[Any, ...]]]
) -> None:
    execute("INSERT INTO app.customers (id, name, email) VALUES (9, 'Eve', 'ada@example.org')")
    address = page(deletion, "restore")
    text = client.get(address).text
    assert "email ada@example.org belongs to app.customers 9 (Eve) now." in told(text)
    assert "email_lower" not in told(text)
    assert 'value="ada@example.org"' in text
    given = conflict_form(text) | {"confirmed": "yes", "reason": "She rang."}

    undecided = client.post(address, given).text
    assert "Say first what becomes of each record" in told(undecided)
    chosen = {**given, "conflict-0-do": "set"}
    same = client.post(address, {**chosen, "conflict-0-0": EMAIL}).text
    assert "Nothing was restored: something is in the way still." in told(same)
    wrong = client.post(address, {**chosen, "conflict-0-0": "no address"}).text
    assert "customers_email_check" in told(wrong)
    assert Deletion.objects.get(pk=deletion.pk).state == "deleted"

    client.post(address, {**chosen, "conflict-0-0": "lovelace@example.org"})
    now = whole(execute)
    ada = next(row for row in now["customers"] if row[0] == ADA)
    assert ada[2:4] == ("lovelace@example.org", "lovelace@example.org")
    others = [row for row in now["customers"] if row[0] not in (ADA, 9)]
    assert others == [row for row in before["customers"] if row[0] == BEN]
    assert {name: now[name] for name in ("addresses", "orders", "lines")} == {
        name: before[name] for name in ("addresses", "orders", "lines")
    }
    assert Deletion.objects.get(pk=deletion.pk).restore_reason == "She rang."


def test_nobody_changes_a_column_that_was_not_in_the_way(
    deletion: Deletion, client: Client, execute: Execute
) -> None:
    """The form says which column gets another value, so it is signed."""
    execute("INSERT INTO app.customers (id, name, email) VALUES (9, 'Eve', 'ada@example.org')")
    forged = {
        "conflict-0": '["app.customers", ["4711"], ["password_hash"]]',
        "conflict-0-do": "set",
        "conflict-0-0": "mine",
        "confirmed": "yes",
        "reason": "",
    }
    text = told(client.post(page(deletion, "restore"), forged).text)
    assert "email ada@example.org belongs to app.customers 9" in text
    assert execute("SELECT password_hash FROM app.customers WHERE id = 4711") == [
        ("pbkdf2$secret",)
    ]

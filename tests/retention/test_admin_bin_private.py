"""What the bin tells nobody, and not everybody: on every page and in every command alike."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from auditing.services.track import TrackTerms, table_track
from retention.admin.deletion_words import key_words
from retention.models import Deletion, SeveredReference, SoftDeleteTable
from retention.services.record_delete import record_delete
from tests.console import person, signed_in

from .binning import ADA, EMAIL
from .softdeleting import app, enable, soft_delete
from .test_admin_bin import LIST, conflict_form, page, told

Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def client(sue: User) -> Client:
    return signed_in(sue)


def everything_said(name: str, *arguments: str) -> str:
    """What a command writes, for people and as JSON."""
    out = StringIO()
    for more in ((), ("--json",)):
        try:
            call_command(name, *arguments, *more, stdout=out, stderr=out)
        except CommandError as error:
            out.write(str(error))
    return out.getvalue()


def test_what_the_audit_does_not_keep_is_shown_nowhere_and_finds_nothing(
    client: Client, sue: User, execute: Execute
) -> None:
    terms = TrackTerms(mask=("email", "email_lower"), exclude=("phone",))
    table_track("app.customers", terms=terms, actor=sue, reason="the law")
    table = SoftDeleteTable.objects.get(table_name="customers").table_oid
    look = client.get(reverse("admin:retention_deletion_record", args=[table, str(ADA)])).text
    deletion = record_delete(table=app("customers"), record_id=str(ADA), actor=sue).deletion
    assert deletion is not None
    execute("INSERT INTO app.customers (id, name, email) VALUES (9, 'Eve', 'ada@example.org')")
    number = str(deletion.pk)
    refused = client.post(
        page(deletion, "restore"), {"confirmed": "yes", "asked": "yes", "reason": ""}
    ).text
    pages = [
        look,
        client.get(LIST).text,
        client.get(page(deletion)).text,
        client.get(page(deletion, "restore")).text,
        refused,
        signed_in(person("grace", role="officer")).get(page(deletion, "purge")).text,
    ]
    for text in pages:
        assert "Ada Lovelace" in told(text)
    assert "its email belongs to app.customers 9 (Eve) now." in told(refused)
    commands = [
        everything_said("deletion_list"),
        everything_said("deletion_show", number),
        everything_said("record_restore", number, "--dry-run"),
        everything_said("record_restore", number),
    ]
    for text in (*pages, *commands):
        for secret in (EMAIL, "7946", "pbkdf2"):
            assert secret not in text
    for words in (EMAIL, "7946"):
        assert "Nothing in the bin fits." in told(client.post(LIST, {"q": words}).text)
    given = conflict_form(refused) | {"conflict-0-do": "skip", "confirmed": "yes", "reason": ""}
    client.post(page(deletion, "restore"), given)
    assert Deletion.objects.filter(split_from=deletion).count() <= 1


def test_a_constraint_refuses_without_telling_the_row(
    client: Client, sue: User, execute: Execute
) -> None:
    """Of a CHECK the database's detail is the whole row, with the hash of the password."""
    deletion = record_delete(table=app("customers"), record_id=str(ADA), actor=sue).deletion
    assert deletion is not None
    execute("ALTER TABLE app.customers ADD CONSTRAINT some_rule CHECK (name <> 'Ada Lovelace')"
            " NOT VALID")  # fmt: skip

    texts = [
        client.get(page(deletion, "restore")).text,
        client.post(page(deletion, "restore"), {"confirmed": "yes", "reason": ""}).text,
        everything_said("record_restore", str(deletion.pk)),
    ]

    for text in texts:
        assert "some_rule" in text
        assert "pbkdf2" not in text
        assert "7946" not in text


def test_a_name_is_no_markup_on_any_page(client: Client, sue: User, execute: Execute) -> None:
    evil = "<script>alert(1)</script>"
    execute("UPDATE app.customers SET name = %s WHERE id = 4711", [evil])
    execute("UPDATE app.orders SET number = %s WHERE id = 501", [evil])
    table = SoftDeleteTable.objects.get(table_name="customers").table_oid
    look = client.get(reverse("admin:retention_deletion_record", args=[table, str(ADA)])).text
    deletion = record_delete(
        table=app("customers"), record_id=str(ADA), actor=sue, reason=evil
    ).deletion
    assert deletion is not None
    execute("INSERT INTO app.customers (id, name, email) VALUES (9, %s, %s)", [evil, EMAIL])
    officer = signed_in(person("grace", role="officer"))
    for text in (
        look,
        client.get(LIST).text,
        client.post(LIST, {"q": evil}).text,
        client.get(page(deletion)).text,
        client.get(page(deletion, "restore")).text,
        client.post(page(deletion, "restore"), {"confirmed": "yes", "reason": evil}).text,
        officer.get(page(deletion, "purge")).text,
    ):
        assert "alert(1)" in text
        assert evil not in text
    back = {"conflict-0-do": "set", "conflict-0-0": "new@example.org", "confirmed": "yes"}
    form = conflict_form(client.get(page(deletion, "restore")).text)
    done = client.post(page(deletion, "restore"), {**form, **back, "reason": evil}, follow=True)
    assert "Restored" in told(done.text)
    assert evil not in done.text


def test_a_key_that_tells_who_it_is_is_masked_too(governed: str, execute: Execute) -> None:
    """For who may not restore; numbers and UUIDs tell nothing."""
    execute(
        "CREATE TABLE app.accounts (mail text PRIMARY KEY, name text);"
        "CREATE TABLE app.posts (mail text REFERENCES app.accounts ON DELETE CASCADE, n int,"
        " PRIMARY KEY (mail, n));"
        "CREATE TABLE app.readers (login text PRIMARY KEY, follows text"
        " REFERENCES app.accounts ON DELETE SET NULL);"
        "CREATE TABLE app.bills (login text PRIMARY KEY, mail text REFERENCES app.accounts);"
        "INSERT INTO app.accounts VALUES ('ada@example.org', 'Ada'), ('ben@example.org', 'Ben');"
        "INSERT INTO app.posts VALUES ('ada@example.org', 1);"
        "INSERT INTO app.readers VALUES ('charles.babbage', 'ada@example.org');"
        "INSERT INTO app.bills VALUES ('george.boole', 'ben@example.org')"
    )
    for name in ("accounts", "posts"):
        enable(name)
    grace = person("grace", role="officer")
    deletion = soft_delete("accounts", "ada@example.org")
    table = SoftDeleteTable.objects.get(table_name="accounts").table_oid
    officer = signed_in(grace)
    ben = reverse("admin:retention_deletion_record", args=[table, "ben_40_example_2E_org"])
    assert "(george.boole)" in officer.get(ben).text
    officer.post(ben, {"reason": "asked"})
    refused = Deletion.objects.get(state="refused")

    for client, sees in ((officer, True), (signed_in(person("eye", role="auditor")), False)):
        shown = client.get(page(deletion)).text
        attempt = client.get(page(refused)).text
        listed = client.get(LIST).text
        assert [
            name in text
            for text, name in (
                (shown, "ada@example.org"),
                (shown, "charles.babbage"),
                (attempt, "george.boole"),
            )
        ] == [sees] * 3
        assert "@example.org" not in listed, "it has a better name"


@pytest.mark.parametrize(
    ("record_id", "shown"),
    [
        ("4711", "4711"),
        ('["501","1"]', "501, 1"),
        ('["7","2026-08-01 12:21:14.340071+00"]', "7, 2026-08-01 12:21:14.340071+00"),
        ("2ac93855-866b-4d2e-a41e-4b6b0ed4217b", "2ac93855-866b-4d2e-a41e-4b6b0ed4217b"),
        ("ada@example.org", "***"),
        ('["7","ada"]', "***"),
        ("+44 20 7946 0018", "***"),
        ('["', "***"),
    ],
)
def test_keys_that_tell_nothing_are_not_masked(record_id: str, shown: str) -> None:
    assert key_words(record_id, masks=True) == shown


def test_the_list_and_a_page_take_as_many_queries_however_much_there_is(
    client: Client, sue: User, execute: Execute
) -> None:
    execute(
        "INSERT INTO app.orders SELECT n, 4712, NULL, 'SO-' || n, 'new', now()"
        " FROM generate_series(1000, 1080) n;"
        "INSERT INTO app.lines SELECT n, 1, 'Lamp', 1 FROM generate_series(1000, 1080) n"
    )
    one = soft_delete("orders", 1000)

    def queries(address: str) -> int:
        client.get(address)
        with CaptureQueriesContext(connection) as found:
            assert client.get(address).status_code == 200
        return len(found)

    few = queries(LIST)
    for number in range(1001, 1041):
        soft_delete("orders", number)
    assert queries(LIST) == few
    assert queries(page(soft_delete("orders", *range(1041, 1080)))) == queries(page(one))


def test_a_page_of_conflicts_reads_each_table_once(
    client: Client, sue: User, execute: Execute
) -> None:
    execute(
        "INSERT INTO app.customers (id, name, email) SELECT n, 'n' || n, n || '@example.org'"
        " FROM generate_series(5000, 5029) n"
    )
    counts = []
    for keys in (range(5000, 5002), range(5002, 5030)):
        deletion = soft_delete("customers", *keys)
        execute(
            "INSERT INTO app.customers (id, name, email)"
            " SELECT id + 1000, 'Taker ' || id, email FROM app.customers WHERE deletion_id = %s",
            [deletion.pk],
        )
        with CaptureQueriesContext(connection) as found:
            text = client.get(page(deletion, "restore")).text
        assert told(text).count("(Taker") == len(keys)
        counts.append(len(found))
    # Of each record in conflict what it has now, and no more.
    assert counts[1] - counts[0] <= 26


def test_a_thousand_records_are_more_than_one(client: Client, sue: User, execute: Execute) -> None:
    execute("INSERT INTO app.lines SELECT 501, n, 'Card', 1 FROM generate_series(100, 1200) n")
    deletion = soft_delete("orders", 501)
    assert "1,107 records in all" in told(client.get(page(deletion)).text)


def test_who_may_only_look_changes_nothing_by_posting(sue: User, execute: Execute) -> None:
    deletion = soft_delete("orders", 501)
    table = SoftDeleteTable.objects.get(table_name="orders").table_oid
    record = reverse("admin:retention_deletion_record", args=[table, "502"])
    given = {"confirmed": "yes", "reason": "because"}
    before = execute("SELECT * FROM app.orders ORDER BY id")
    for role, forbidden in (
        ("auditor", ("restore", "purge", "record")),
        ("operator", ("restore", "purge", "record")),
        ("support", ("purge",)),
    ):
        client = signed_in(person(f"a-{role}", role=role))
        for name in forbidden:
            address = record if name == "record" else page(deletion, name)
            assert client.post(address, given).status_code == 403, (role, name)
    assert execute("SELECT * FROM app.orders ORDER BY id") == before
    assert not SeveredReference.objects.exists()
    assert [each.state for each in Deletion.objects.all()] == ["deleted"]

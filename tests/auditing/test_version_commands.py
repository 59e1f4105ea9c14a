"""`audit_log`, `audit_history`, `audit_restore` and `audit_revert`, as an operator uses them."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from auditing.services.track import TrackTerms, table_track

pytestmark = pytest.mark.django_db(transaction=True)
Execute = Callable[..., list[tuple[Any, ...]]]


def said(name: str, *arguments: str) -> str:
    out = StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue()


def document(name: str, *arguments: str) -> Any:
    return json.loads(said(name, *arguments, "--json"))


def refused(name: str, *arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as error:
        said(name, *arguments)
    return error.value.returncode, str(error.value)


@pytest.fixture
def orders(governed: str, execute: Execute, person: User) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, status text, note text, card text)")
    table_track("app.orders", actor=person, reason="", terms=TrackTerms(mask=["card"]))
    execute("INSERT INTO app.orders VALUES (1, 'new', 'a'), (2, 'new', 'b'), (3, 'new', 'c')")
    with transaction.atomic():
        execute(
            "SELECT custody.set_context('7', reason => 'Ticket 4711', user_email => 'a@shop.org',"
            " request_id => 'req-1')"
        )
        execute("UPDATE app.orders SET status = 'paid', card = '42' WHERE id < 3")
    execute("DELETE FROM app.orders WHERE id = 3")


def test_the_log(orders: None) -> None:
    lines = said("audit_log").splitlines()
    assert [line.split("  ", 3)[3] for line in lines] == [
        "delete of 1 row in app.orders",
        "update of 2 rows in app.orders (status, card): Ticket 4711",
        "insert of 3 rows in app.orders",
    ]
    update = document("audit_log", "--user", "a@shop.org")["statements"]
    for filters in (
        ["--table", "orders", "--operation", "update"],
        ["--user", "app:7"],
        ["--request", "req-1"],
        ["--reason", "ticket 47"],
        ["--since", "2020-01-01", "--user", "7"],
    ):
        assert document("audit_log", *filters)["statements"] == update
    assert [(each["rows"], each["reason"], each["changed"]) for each in update] == [
        (2, "Ticket 4711", ["status", "card"])
    ]
    assert document("audit_log", "--until", "2020-01-01") == {"statements": []}
    assert len(document("audit_log", "--limit", "2")["statements"]) == 2
    assert said("audit_log", "--reason", "nobody") == "Nothing in the audit log is like that.\n"
    assert refused("audit_log", "--since", "yesterday") == (
        2,
        "--since 'yesterday': write 2026-11-25 or 2026-11-25 14:02:00.",
    )


def test_the_log_streams(orders: None, execute: Execute, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small its pages: each statement once, the newest first."""
    for number in range(7):
        execute("INSERT INTO app.orders (id) VALUES (%s)", [10 + number])
    whole = document("audit_log")["statements"]
    monkeypatch.setattr("auditing.management.commands.audit_log._PAGE", 3)
    assert document("audit_log")["statements"] == whole
    numbers = [each["statement"] for each in whole]
    assert len(numbers) == 10
    assert numbers == sorted(set(numbers), reverse=True)


def test_the_history_of_a_record(orders: None, execute: Execute) -> None:
    history = document("audit_history", "app.orders", "1")
    assert [(v["number"], v["operation"], v["changed"]) for v in history["versions"]] == [
        (2, "Update", ["status", "card"]),
        (1, "Insert", []),
    ]
    assert history["versions"][0]["values"] == {"id": "1", "status": "paid", "note": "a"}
    assert history["versions"][0]["user_email"] == "a@shop.org"
    assert "Ticket 4711" in said("audit_history", "orders", "1")
    compared = document("audit_history", "orders", "1", "--compare", "1", "2")
    assert [(d["column"], d["old"], d["new"], d["masked"]) for d in compared["differences"]] == [
        ("status", "new", "paid", False),
        ("card", None, None, True),
    ]
    at = history["versions"][1]["at"]
    then = document("audit_history", "orders", "1", "--as-of", at)
    assert (then["exists"], then["version"]["number"]) == (True, 1)
    assert document("audit_history", "orders", "1", "--as-of", "2020-01-01")["exists"] is False
    assert document("audit_history", "orders", "3", "--as-of", "2999-01-01")["exists"] is False
    assert said("audit_history", "orders", "99") == "app.orders 99 has no versions.\n"
    assert refused("audit_history", "orders", "x") == (
        2,
        "'x' is no key of app.orders: its key is id (integer).",
    )


def test_a_restore(orders: None, execute: Execute) -> None:
    rehearsed = document("audit_restore", "orders", "1", "--version", "1", "--dry-run")
    assert rehearsed["dry_run"] is True
    assert rehearsed["restore"]["differences"] == [
        {"column": "status", "live": "paid", "restored": "new"}
    ]
    assert execute("SELECT status FROM app.orders WHERE id = 1") == [("paid",)]
    text = said("audit_restore", "orders", "1", "--version", "1", "--reason", "a slip")
    assert text.startswith("The row was changed back: app.orders 1 as in version 1.")
    assert execute("SELECT status, card FROM app.orders WHERE id = 1") == [("new", "42")]
    assert said("audit_restore", "orders", "3", "--version", "2").startswith("The row is back")
    assert document("audit_log", "--reason", "slip")["statements"][0]["rows"] == 1

    execute("CREATE UNIQUE INDEX one_note ON app.orders (note)")
    execute("UPDATE app.orders SET note = 'z' WHERE id = 1")
    execute("UPDATE app.orders SET note = 'a' WHERE id = 2")
    code, told = refused("audit_restore", "orders", "1", "--version", "1")
    assert code == 3
    assert told == (
        "Version 1 of app.orders 1 cannot be restored: the row 2 of app.orders has its place under "
        "the constraint one_note: (note)=(a). Nothing was changed."
    )
    assert refused("audit_restore", "orders", "1", "--version", "1", "--dry-run")[0] == 3
    assert refused("audit_restore", "orders", "1", "--version", "9")[0] == 2


def test_a_revert(orders: None, execute: Execute) -> None:
    number = str(document("audit_log", "--user", "app:7")["statements"][0]["statement"])
    execute("UPDATE app.orders SET status = 'sent' WHERE id = 2")

    code, _ = refused("audit_revert", "--statement", number, "--dry-run")
    assert code == 3
    assert execute("SELECT status FROM app.orders ORDER BY id") == [("paid",), ("sent",)]
    code, told = refused("audit_revert", "--statement", number, "--reason", "a slip")
    assert (code, told) == (3, "1 row stays as changed since: see above.")
    assert execute("SELECT status FROM app.orders ORDER BY id") == [("new",), ("sent",)]

    deleted = document("audit_log", "--operation", "delete")["statements"][0]
    found = document("audit_revert", "--transaction", str(deleted["transaction"]))
    assert (found["reverted"], found["run"]["state"]) == (1, "succeeded")
    assert execute("SELECT count(*) FROM app.orders") == [(3,)]
    assert refused("audit_revert", "--statement", "99999")[0] == 2
    assert connection.in_atomic_block is False

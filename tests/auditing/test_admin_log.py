"""The audit log in the admin: lines, filters, a statement with its rows, what somebody changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from auditing.models import AuditEvent, ChangeStatement, Operation, TrackedTable
from auditing.services.statement_summarise import statement_summarise
from auditing.services.track import table_track
from tests.console import (
    make_certificate,
    make_policy,
    make_run,
    signed_in,
)
from tests.console import person as somebody

from .log_lines import change, context, table
from .reading import text_of

Execute = Callable[..., list[tuple[Any, ...]]]
LOG = "/admin/auditing/changestatement/"
ACTOR = f"{LOG}actor/"


@pytest.fixture
def officer(db: None) -> Client:
    return signed_in(somebody("olga", role="officer"))


def page_of(number: int) -> str:
    return f"{LOG}{number}/change/"


def lines(page: Any) -> list[int]:
    """The numbers of the statements that a page lists."""
    return [line["number"] for line in page.context["lines"]]


def test_a_line_tells_who_what_and_why(officer: Client) -> None:
    orders = table("orders")
    said = context(
        "app:4711",
        user_email="c@example.org",
        impersonator="console:sue",
        reason="Ticket <4711>",
    )
    change(orders, 1, said=said, rows=3, changed=["status", *(f"c{n}" for n in range(9))])
    change(orders, 2, operation=Operation.TRUNCATE, actor="db:root", rows=1_200)
    change(orders, 3, said=context("console:olga", claimed=False))
    shown = text_of(officer.get(LOG))
    assert (
        "c@example.org claimed really sue, acting for them 3 rows changed in shop.orders" in shown
    )
    assert "status, c0, c1, c2, c3, c4 and 4 more Ticket <4711>" in shown
    assert "root role of the database 1,200 rows emptied from shop.orders" in shown
    assert "olga in this console 1 row changed in shop.orders" in shown
    assert shown.count("claimed") == 1


def test_filters_of_the_form_find_and_are_kept_on_further_pages(
    officer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditing.admin.log.LINES_A_PAGE", 2)
    orders, users = table("orders"), table("users")
    for number in range(1, 7):
        change(orders if number != 4 else users, number, actor="app:1")
    change(orders, 7, actor="app:2")
    assert lines(officer.get(LOG)) == [7, 6]
    first = officer.get(LOG, {"table": "shop.orders", "user": "1"})
    assert lines(first) == [6, 5]
    older = first.context["older"]
    assert older == "table=shop.orders&user=1&before=5"
    assert lines(officer.get(f"{LOG}?{older}")) == [3, 2]
    # The minute that is chosen is part of what is found.
    minute = {"since": "2031-03-04T09:00", "until": "2031-03-04T09:00"}
    assert lines(officer.get(LOG, minute)) == [7, 6]
    assert lines(officer.get(LOG, {"until": "2031-03-04T08:59"})) == []
    assert "No change is recorded that fits" in text_of(officer.get(LOG, {"user": "nobody"}))
    wrong = {"since": "2031-03-05T00:00", "until": "2031-03-04T00:00"}
    assert "That is before the beginning" in text_of(officer.get(LOG, wrong))
    assert "Select a valid choice" in text_of(officer.get(LOG, {"table": "shop.nothing"}))
    assert officer.get(LOG, {"before": "1; DROP", "user": "\0"}).status_code == 200


def test_a_page_asks_no_more_of_the_database_for_more_lines(officer: Client) -> None:
    orders = table("orders")

    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            officer.get(LOG)
        return len(queries)

    change(orders, 1, said=context("app:1", reason="x"))
    few = asked()
    for number in range(2, 40):
        change(orders, number, said=context(f"app:{number}", reason="x"))
    assert asked() == few


def test_what_somebody_changed(officer: Client) -> None:
    orders = table("orders")
    change(orders, 1, actor="app:a b&c=<d>")
    change(orders, 2, actor="app:2")
    page = officer.get(ACTOR, {"actor": "app:a b&c=<d>"})
    assert lines(page) == [1]
    assert "What a b&c=<d> changed" in text_of(page)
    assert "user of the application" in text_of(page).lower()
    assert officer.get(ACTOR).status_code == 404


@pytest.fixture
def things(governed: str, execute: Execute, person: User) -> TrackedTable:
    execute("CREATE TABLE app.things (id int PRIMARY KEY, name text, price numeric)")
    return table_track("app.things", actor=person, reason="test")


@pytest.mark.django_db(transaction=True)
def test_a_statement_shows_its_rows_before_and_after(
    things: TrackedTable, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditing.admin.statement.ROWS_A_PAGE", 2)
    execute(
        "BEGIN; SELECT custody.set_context('4711', 'Because', 'c@example.org',"
        " ip_address => '10.1.2.3', request_id => 'r/1');"
        " INSERT INTO app.things SELECT n, 'n' || n, n FROM generate_series(1, 3) n;"
        " UPDATE app.things SET price = price + 10, id = CASE id WHEN 3 THEN 30 ELSE id END;"
        " COMMIT"
    )
    execute("DELETE FROM app.things WHERE id = 1")
    statement_summarise()
    support = signed_in(somebody("sue", role="support"))
    added, changed, deleted = ChangeStatement.objects.order_by("id")
    page = text_of(support.get(page_of(changed.pk)))
    assert "1 price 1 → 11 2 price 2 → 12 Further rows" in page
    for fact in ("c@example.org", "Because", "10.1.2.3", "r/1", "custody"):
        assert fact in page
    assert "In the same transaction 3 rows added to app.things" in page
    after = support.get(page_of(changed.pk)).context["next_after"]
    further = text_of(support.get(page_of(changed.pk), {"after": after}))
    assert "30 before: 3 id 3 → 30 price 3 → 13" in further
    assert "1 deleted name n1 price 11" in text_of(support.get(page_of(deleted.pk)))
    assert "1 added name n1 price 1" in text_of(support.get(page_of(added.pk)))


@pytest.mark.django_db(transaction=True)
def test_a_statement_that_is_not_summarised_yet_has_its_page(
    things: TrackedTable, execute: Execute
) -> None:
    execute("INSERT INTO app.things VALUES (1, 'a', 1)")
    ((number,),) = execute("SELECT statement FROM history.app__things")
    assert not ChangeStatement.objects.exists()
    officer = signed_in(somebody("olga", role="officer"))
    assert "1 row added to app.things" in text_of(officer.get(page_of(number)))


def test_a_purge_leads_to_its_run_and_its_certificate(officer: Client) -> None:
    orders = table("orders")
    run = make_run(make_policy(), somebody("asker", role="operator"))
    certificate = make_certificate(run)
    event = AuditEvent.objects.create(
        kind="purge",
        tracked=orders,
        actor="console:asker",
        reason="Past their term.",
        run_id=run.pk,
        certificate=certificate.number,
        rows=1_200,
    )
    change(orders, 1, operation=Operation.PURGE, rows=1_200, event=event)
    assert "1,200 rows purged from shop.orders Past their term." in text_of(officer.get(LOG))
    page = officer.get(page_of(1))
    assert f'href="/admin/operations/run/{run.pk}/change/"' in page.content.decode()
    assert f'href="/admin/operations/certificate/{certificate.pk}/change/"' in page.content.decode()
    assert "A purge keeps no values; its certificate says what it did" in text_of(page)
    # Who may not see certificates reads its number.
    support = signed_in(somebody("sue", role="support"))
    shown = support.get(page_of(1)).content.decode()
    assert certificate.number in shown
    assert "/operations/certificate/" not in shown

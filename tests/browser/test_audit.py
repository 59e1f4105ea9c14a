"""From the audit log to a record as it was, in a browser: as those who do it every day."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from auditing.models import ChangeStatement, TrackedTable
from auditing.services.baseline import baseline_run
from auditing.services.statement_summarise import statement_summarise
from auditing.services.track import TrackTerms, table_track
from operations.models import Run
from operations.services.run_to_end import run_to_end
from tests.console import person

from .conftest import SignIn

pytestmark = pytest.mark.django_db(transaction=True)
Execute = Callable[..., list[tuple[Any, ...]]]
NARROW = 390
DOCUMENT = "7d23216f-a869-4b7e-afa5-38a5cdd8b2cf"


@pytest.fixture
def shop(governed: str, execute: Execute) -> TrackedTable:
    """A small shop; support changed three orders, and a document got two versions."""
    execute(
        "CREATE TABLE app.orders (id int PRIMARY KEY, status text, note text);"
        " CREATE TABLE app.documents (id uuid PRIMARY KEY, title text, content jsonb, tags text[]);"
        " CREATE TABLE app.sessions (id uuid PRIMARY KEY, token_hash text, user_agent text);"
        " INSERT INTO app.orders SELECT n, 'delivered' FROM generate_series(1, 5) n;"
        f" INSERT INTO app.documents VALUES ('{DOCUMENT}', 'Terms', '{{\"days\": 14}}', '{{}}');"
        " INSERT INTO app.sessions VALUES (gen_random_uuid(), 'h', 'a browser')"
    )
    night = person("night", role="operator")
    documents = _audited("app.documents", night, TrackTerms(significant=("title", "content")))
    _audited("app.orders", night, TrackTerms())
    execute(
        "BEGIN; SELECT custody.set_context('sue', 'Ticket 4711: came back', 'sue@shop.example');"
        " UPDATE app.orders SET status = 'refunded' WHERE id < 4; COMMIT"
    )
    execute("UPDATE app.documents SET title = 'The terms'")
    execute("UPDATE app.documents SET tags = '{signed}'")
    statement_summarise()
    return documents


def _audited(name: str, by: User, terms: TrackTerms) -> TrackedTable:
    tracked = table_track(name, actor=by, reason="test", terms=terms)
    baseline_run(tracked, requester=by)
    return tracked


def fits(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]


def test_support_goes_from_the_log_to_a_record_and_puts_it_back(
    sign_in: SignIn, shop: TrackedTable, execute: Execute
) -> None:
    page = sign_in("support")
    page.get_by_role("link", name="Audit log").click()
    lines = page.locator("#lines tbody tr")
    expect(lines).to_have_count(2)
    page.get_by_label("Reason").fill("ticket 47")
    page.get_by_role("button", name="Filter").click()
    expect(lines).to_have_count(1)
    expect(lines).to_contain_text("sue@shop.example")
    expect(lines).to_contain_text("Ticket 4711: came back")

    page.get_by_role("link", name="3 rows changed in app.orders").click()
    expect(page.get_by_role("heading", name="3 rows changed in app.orders")).to_be_visible()
    expect(page.locator("#rows li")).to_have_count(3)
    record = page.locator("#rows li").first.get_by_role("link")
    key = record.inner_text()
    before = page.locator("#rows li").first.locator("del").inner_text()
    record.click()

    expect(page.get_by_text("2 versions", exact=True)).to_be_visible()
    page.get_by_role("button", name="Compare the chosen two").click()
    expect(page.locator(".c-compare del")).to_have_text(before)
    expect(page.locator(".c-compare ins")).to_have_text("refunded")
    page.get_by_role("link", name="Restore this version").first.click()
    expect(page.get_by_role("heading", name="Restore version 1?")).to_be_visible()
    page.get_by_label("Reason").fill("It was another parcel.")
    page.get_by_role("button", name="Restore this version").click()
    expect(page.get_by_text("That is a new version.")).to_be_visible()
    expect(page.get_by_text("3 versions", exact=True)).to_be_visible()
    expect(page.get_by_text("It was another parcel.")).to_be_visible()
    assert execute("SELECT status FROM app.orders WHERE id = %s::int", [key]) == [(before,)]


def test_an_officer_reverts_a_statement(
    sign_in: SignIn, shop: TrackedTable, execute: Execute
) -> None:
    execute("UPDATE app.orders SET status = 'shipped' WHERE id = 2")
    page = sign_in("officer")
    page.goto("/admin/auditing/changestatement/?user=sue")
    page.get_by_role("link", name="3 rows changed in app.orders").click()
    page.get_by_role("link", name="Revert", exact=True).click()
    expect(page.locator("#conflicts")).to_contain_text("app.orders 2")
    page.get_by_role("textbox", name="Reason").fill("The wrong parcels.")
    page.get_by_role("button", name="Revert").click()
    expect(page.get_by_role("heading", name="Revert of changes of statement")).to_be_visible()
    run_to_end(run=Run.objects.get(kind="change_revert"))
    expect(page.get_by_text("something is in the way")).to_be_visible()
    assert execute("SELECT status FROM app.orders ORDER BY id LIMIT 3") == [
        ("delivered",),
        ("shipped",),
        ("delivered",),
    ]


def test_an_officer_finds_a_document_and_names_its_version_on_a_telephone(
    sign_in: SignIn, shop: TrackedTable
) -> None:
    page = sign_in("officer", width=NARROW)
    page.goto("/admin/auditing/trackedtable/find/key/")
    page.get_by_label("Table").select_option("app.documents")
    page.get_by_label("Key").fill(DOCUMENT)
    page.get_by_role("button", name="Show its versions").click()
    # Tags alone make no version.
    expect(page.get_by_text("2 versions", exact=True)).to_be_visible()
    fits(page)
    page.locator("#version-2").get_by_role("link", name="Name it").click()
    page.get_by_label("Name").fill("as signed")
    page.get_by_label("Comment").fill("The customer has it on paper.")
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("link", name="Version 2, as signed")).to_be_visible()
    page.get_by_label("As it was on").fill("2001-01-01T00:00")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("it was not recorded yet")).to_be_visible()
    for address in (
        "/admin/auditing/changestatement/",
        f"/admin/auditing/changestatement/{ChangeStatement.objects.latest('id').pk}/change/",
        "/admin/auditing/trackedtable/",
        f"/admin/auditing/trackedtable/{shop.pk}/change/",
        f"/admin/auditing/trackedtable/{shop.pk}/adjust/",
        "/admin/auditing/trackedtable/add/?table=app.sessions",
    ):
        page.goto(address)
        expect(page.locator("h1").first).to_be_visible()
        fits(page)


def test_an_operator_begins_the_audit_of_a_table(sign_in: SignIn, shop: TrackedTable) -> None:
    page = sign_in("operator")
    page.goto("/admin/auditing/trackedtable/add/")
    page.get_by_label("Find a table by its name").fill("sess")
    page.get_by_role("link", name="app.sessions").click()
    expect(page.get_by_label("How token_hash is kept")).to_have_value("masked")
    page.get_by_label("How user_agent is kept").select_option("Not at all")
    page.get_by_role("textbox", name="Reason").fill("Who was signed in when.")
    page.get_by_role("button", name="Audit this table").click()
    expect(page.get_by_text(re.compile("app.sessions is audited from now on"))).to_be_visible()
    expect(page.get_by_text("Baseline under way")).to_be_visible()
    expect(page.get_by_role("row", name="user_agent")).to_contain_text("Not at all")

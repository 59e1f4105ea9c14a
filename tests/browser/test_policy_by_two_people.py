"""A policy from nothing to its certificate, by two officers who have only their browsers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from playwright.sync_api import Page, Route, expect

from operations.models import Run
from retention.models import RetentionPolicy
from tests.console import PASSWORD
from tests.retention.proposing import make_tickets

from .worker import Worker

pytestmark = pytest.mark.django_db(transaction=True)

SignIn = Callable[..., Page]


@pytest.fixture(autouse=True)
def tickets(transactional_db: None) -> Iterator[None]:
    """30 tickets past their term; every third one is open."""
    make_tickets()
    yield
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA desk CASCADE")


def left() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT status, count(*) FROM desk.tickets GROUP BY status")
        return dict(cursor.fetchall())


def begin(page: Page) -> None:
    """From the overview to the form of a policy for the tickets."""
    page.get_by_role("link", name="Policies").first.click()
    page.locator('a[href$="/retentionpolicy/add/"]').first.click()
    page.get_by_placeholder("Find a table by its name").fill("tick")
    expect(page.get_by_role("link", name="desk.notes")).to_be_hidden()
    page.get_by_role("link", name="desk.tickets").click()
    expect(page.get_by_role("heading", name="New policy for desk.tickets")).to_be_visible()


def fill_in(page: Page) -> None:
    page.get_by_label("Kept for").fill("90")
    page.get_by_label("Counted from").select_option("closed_at")
    page.get_by_label("Archive the rows before they are deleted").check()
    page.get_by_label("Reason for the change").fill("the schedule of 2031")


def line(page: Page, number: int) -> Any:
    return page.locator("[data-line]").nth(number)


def build_condition(page: Page) -> None:
    """Open tickets stay, and urgent ones that were closed in the last year."""
    page.get_by_label("Built here").check()
    line(page, 0).get_by_label("Column").select_option("status")
    line(page, 0).get_by_label("Value", exact=False).first.fill("open")
    said = page.locator('[data-said="sql"]')
    expect(said).to_have_text("status = 'open'")
    page.get_by_role("button", name="Add a group").click()
    expect(line(page, 1).get_by_label("Column")).to_be_focused()
    page.get_by_label("How groups are joined").select_option("or")
    line(page, 1).get_by_label("Column").select_option("priority")
    line(page, 1).get_by_label("Operator").select_option("<")
    line(page, 1).get_by_label("Value", exact=False).first.fill("much")
    page.get_by_label("Kept for").focus()
    expect(line(page, 1)).to_contain_text("PostgreSQL says: invalid input syntax")
    line(page, 1).get_by_label("Value", exact=False).first.fill("3")
    page.locator("[data-group]").nth(1).get_by_role("button", name="Add a line").click()
    line(page, 2).get_by_label("Column").select_option("closed_at")
    line(page, 2).get_by_label("Operator").select_option(">")
    line(page, 2).get_by_label("What the value is").select_option("-year")
    line(page, 2).get_by_label("Value", exact=False).first.fill("1")
    expect(said).to_have_text(
        "status = 'open' OR (priority < 3 AND closed_at > now() - interval '1 year')"
    )
    expect(line(page, 2).get_by_label("Operator").locator("option:enabled")).not_to_contain_text(
        ["like (% is anything)"]
    )


def confirm(page: Page, button: str) -> None:
    """Presses it, after typing the table's name where that is asked for."""
    typed = page.get_by_label("Type it to confirm")
    if typed.count():
        typed.fill("desk.tickets")
    page.get_by_role("button", name=button).click()


def approve(page: Page, *, password: str = PASSWORD) -> None:
    page.get_by_role("link", name="Approve", exact=True).click()
    expect(page.get_by_text("Rows of desk.tickets are kept for 90 days")).to_be_visible()
    page.get_by_label("Reason").fill("as agreed")
    page.get_by_label("Your password").fill(password)
    confirm(page, "Approve the run")


def test_one_makes_it_another_approves_and_the_rows_are_gone_with_proof(
    sign_in: SignIn, worker: Worker
) -> None:
    first = sign_in("officer")
    begin(first)
    fill_in(first)
    build_condition(first)
    expect(first.locator('[data-said="sentence"]')).to_contain_text(
        "Rows of desk.tickets are kept for 90 days after closed_at, unless status = 'open' OR"
    )
    first.get_by_role("button", name="Review").last.click()
    expect(first.get_by_text("Another person has to approve it")).to_be_visible()
    expect(first.get_by_text("It begins to remove rows of desk.tickets")).to_be_visible()
    confirm(first, "Ask for approval")
    expect(first.get_by_text("A change waits for approval")).to_be_visible()
    expect(first.get_by_role("link", name="Run now")).to_have_count(0)

    run = Run.objects.get()
    first.get_by_role("link", name=f"run {run.pk}").first.click()
    expect(first.get_by_text("You asked for this run, so another person")).to_be_visible()
    expect(first.get_by_role("link", name="Approve", exact=True)).to_have_count(0)

    second = sign_in("olga", role="officer")
    second.get_by_role("link", name=re.compile("tickets")).first.click()
    approve(second)
    expect(second.locator("[data-region=state]")).to_have_text("Succeeded")
    policy = RetentionPolicy.objects.get()
    assert (policy.enabled, policy.version) == (True, 2)

    first.get_by_role("link", name="Policies").first.click()
    first.get_by_role("link", name=re.compile("tickets")).first.click()
    expect(first.get_by_text("proposed by officer and approved by olga")).to_be_visible()
    first.get_by_role("link", name="Run now").click()
    first.get_by_label("Reason").fill("the table is full")
    confirm(first, "Run now")
    expect(first.locator("[data-region=state]")).to_have_text("Queued")
    worker.begin(Run.objects.latest("id").pk)
    worker.finish()
    expect(first.locator("[data-region=state]")).to_have_text("Succeeded")
    assert left() == {"open": 10}
    first.get_by_role("link", name=re.compile(r"C-\d+")).click()
    expect(first.get_by_text("Valid", exact=True)).to_be_visible()
    expect(first.get_by_text("olga").first).to_be_visible()


def test_it_is_made_and_withdrawn_on_a_telephone_in_the_dark(sign_in: SignIn) -> None:
    page = sign_in("officer", width=390, color_scheme="dark")
    page.goto("/admin/retention/retentionpolicy/add/")
    page.get_by_role("link", name="desk.tickets").click()
    fill_in(page)
    build_condition(page)
    fits(page)
    page.get_by_role("button", name="Review").last.click()
    expect(page.get_by_text("Another person has to approve it")).to_be_visible()
    fits(page)
    confirm(page, "Ask for approval")
    fits(page)
    page.get_by_role("link", name="Withdraw").click()
    page.get_by_label("Reason").fill("not yet")
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_text("is withdrawn")).to_be_visible()
    assert Run.objects.get().state == "cancelled"


def fits(page: Page) -> None:
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, page.url


def test_what_was_typed_before_the_script_came_narrows_too(sign_in: SignIn) -> None:
    page = sign_in("officer")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/custody/narrow*.js", hold)
    page.goto("/admin/retention/retentionpolicy/add/", wait_until="commit")
    page.get_by_placeholder("Find a table by its name").fill("tick")
    expect(page.get_by_role("link", name="desk.notes")).to_be_visible()
    held.pop().continue_()
    expect(page.get_by_role("link", name="desk.notes")).to_be_hidden()
    expect(page.get_by_role("link", name="desk.tickets")).to_be_visible()


def test_all_of_it_works_without_scripts(
    new_page: Callable[..., Page], sign_in: SignIn, worker: Worker
) -> None:
    def plain(name: str) -> Page:
        cookies = sign_in(name, role="officer").context.cookies()
        page = new_page(java_script_enabled=False)
        page.context.add_cookies(cookies)
        return page

    first = plain("officer")
    first.goto("/admin/retention/retentionpolicy/add/")
    first.get_by_placeholder("Find a table by its name").fill("tick")
    first.get_by_role("button", name="Find").click()
    first.get_by_role("link", name="desk.tickets").click()
    fill_in(first)
    first.get_by_label("Built here").check()
    line(first, 0).get_by_label("Column").select_option("status")
    line(first, 0).get_by_label("Value; of a list").fill("open")
    first.get_by_role("button", name="Add a line").click()
    line(first, 1).get_by_label("Column").select_option("priority")
    line(first, 1).get_by_label("Operator").select_option("in")
    line(first, 1).get_by_label("Value; of a list").fill("1\n2")
    first.get_by_label("How lines are joined").select_option("or")
    first.get_by_role("button", name="Review").last.click()
    expect(first.get_by_text("status = 'open' OR priority IN (1, 2)").first).to_be_visible()
    confirm(first, "Ask for approval")

    second = plain("olga")
    second.goto(f"/admin/operations/run/{Run.objects.get().pk}/change/")
    approve(second)
    expect(second.locator("[data-region=state]")).to_have_text("Succeeded")
    assert RetentionPolicy.objects.get().enabled

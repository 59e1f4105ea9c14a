"""Friday evening to Monday morning: the wrong customer is deleted, and all of her comes back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from auditing.services.baseline import baseline_run
from auditing.services.track import TrackTerms, table_track
from retention.models import Deletion
from tests.console import person
from tests.retention.binning import ADA, EMAIL, make_shop, whole

from .conftest import SignIn

pytestmark = pytest.mark.django_db(transaction=True)
Execute = Callable[..., list[tuple[Any, ...]]]
Rows = dict[str, list[tuple[Any, ...]]]
NEW_EMAIL = "ada.lovelace@example.org"


@pytest.fixture
def shop(governed: str, execute: Execute) -> Rows:
    """Before Friday evening; its customers are audited."""
    make_shop(execute)
    night = person("night", role="operator")
    tracked = table_track("app.customers", actor=night, reason="test", terms=TrackTerms())
    baseline_run(tracked, requester=night)
    return whole(execute)


def last_friday() -> datetime:
    """At 18:47, before this week."""
    now = timezone.now().replace(hour=18, minute=47, second=0, microsecond=0)
    return now - timedelta(days=now.weekday() + 3)


def it_was_on_friday(execute: Execute, deletion: Deletion) -> None:
    """The database has its own clock, so what was done a minute ago is dated back to Friday."""
    friday = last_friday()
    for name in ("customers", "addresses", "orders", "lines"):
        execute(
            f"UPDATE app.{name} SET deleted_at = %s WHERE deletion_id = %s", [friday, deletion.pk]
        )
    Deletion.objects.filter(pk=deletion.pk).update(
        deleted_at=friday, purge_after=friday + timedelta(days=30)
    )


def fits(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]


def deletes_the_wrong_customer(page: Page) -> None:
    page.goto("/admin/auditing/trackedtable/find/key/")
    page.get_by_label("Table").select_option("app.customers")
    page.get_by_label("Key").fill(str(ADA))
    page.get_by_role("button", name="Show its versions").click()
    page.get_by_role("link", name="Delete", exact=True).click()
    expect(page.get_by_role("heading", name="Delete Ada Lovelace?")).to_be_visible()
    expect(page.locator("#tree tr")).to_have_count(4)
    expect(page.locator("#severed")).to_contain_text("1 record of app.orders")
    page.get_by_role("textbox", name="Reason").fill("Asked us to close her account.")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("16 records are in the bin.")).to_be_visible()


def test_friday_to_monday(sign_in: SignIn, shop: Rows, execute: Execute) -> None:
    friday = sign_in("tom", role="support", color_scheme="dark")
    deletes_the_wrong_customer(friday)
    fits(friday)
    deletion = Deletion.objects.get()
    it_was_on_friday(execute, deletion)
    # Over the weekend her mail address is free, and somebody takes it.
    execute("INSERT INTO app.customers (id, name, email) VALUES (9, 'Eve', %s)", [EMAIL])

    page = sign_in("support", width=390)
    page.goto("/admin/retention/deletion/")
    page.get_by_label("What you remember").fill("Ada@Example.org")
    page.get_by_role("button", name="Search").click()
    lines = page.locator("#lines tbody tr")
    expect(lines).to_have_count(1)
    expect(lines).to_contain_text("Ada Lovelace")
    expect(lines).to_contain_text(f"{last_friday():%-d %b %Y}")
    expect(lines).to_contain_text("tom")
    assert EMAIL not in page.url, "nobody's mail address stands in an address"
    fits(page)

    page.get_by_role("link", name="Ada Lovelace").click()
    tree = page.locator("#tree tbody")
    expect(tree.get_by_role("row").filter(has_text="app.orders")).to_contain_text("3")
    expect(tree.get_by_role("row").filter(has_text="app.lines")).to_contain_text("11")
    severed = page.locator("#severed li")
    expect(severed).to_have_count(1)
    expect(severed).to_contain_text("app.orders 504")
    expect(severed.locator("del")).to_have_text("21")
    expect(severed.locator("ins")).to_have_text("NULL")
    fits(page)

    page.get_by_role("link", name="Restore", exact=True).click()
    expect(page.locator("#conflicts")).to_contain_text(
        f"email {EMAIL} belongs to app.customers 9 (Eve) now."
    )
    fits(page)
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("Nothing was restored")).to_be_visible()
    assert Deletion.objects.get().state == "deleted"
    field = page.get_by_label("email", exact=True)
    expect(field).to_have_value(EMAIL)
    field.fill(NEW_EMAIL)
    page.get_by_role("button", name="Try it first").click()
    expect(page.get_by_text("Settled, as you chose.")).to_be_visible()
    assert Deletion.objects.get().state == "deleted"
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("Restored: 1 row of app.customers")).to_be_visible()
    expect(page.get_by_text("1 reference put back.")).to_be_visible()
    fits(page)
    all_is_back(execute, shop)

    # Tom, who is told as well, is late.
    friday.goto(f"/admin/retention/deletion/{deletion.pk}/restore/")
    expect(friday.get_by_text("was restored by support on")).to_be_visible()
    # Her record's page is one click from the message.
    page.get_by_role("link", name=str(ADA)).first.click()
    expect(page.get_by_text("In the table")).to_be_visible()


def all_is_back(execute: Execute, before: Rows) -> None:
    """As before Friday, but for her new address, and the new account."""
    now = whole(execute)
    eve = [row for row in now["customers"] if row[0] == 9]
    assert [row[1:3] for row in eve] == [("Eve", EMAIL)]
    now["customers"] = [
        (*row[:2], EMAIL, EMAIL, *row[4:]) if row[2] == NEW_EMAIL else row
        for row in now["customers"]
        if row[0] != 9
    ]
    assert now == before


def test_an_auditor_sees_that_somebody_was_deleted_and_not_who(sign_in: SignIn, shop: Rows) -> None:
    deletes_the_wrong_customer(sign_in("support"))
    page = sign_in("auditor")
    page.get_by_role("link", name="Bin").click()
    expect(page.locator("#lines")).to_contain_text("A*** (12 characters)")
    page.get_by_label("What you remember").fill(EMAIL)
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("Nothing in the bin fits.")).to_be_visible()
    page.goto(f"/admin/retention/deletion/{Deletion.objects.get().pk}/change/")
    expect(page.locator("#tree")).to_be_visible()
    expect(page.get_by_role("link", name="Restore", exact=True)).to_have_count(0)
    expect(page.get_by_role("checkbox")).to_have_count(0)
    expect(page.get_by_text("Lovelace")).to_have_count(0)

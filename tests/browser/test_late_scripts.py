"""A page's script comes after the page: what somebody has begun by then is not undone by it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import Page, Route, expect

from tests.console import furnished

from .conftest import SignIn

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def held() -> list[Route]:
    """Requests that wait until the test lets them go."""
    return []


def comes_late(page: Page, script: str, held: list[Route]) -> None:
    def hold(route: Route) -> None:
        held.append(route)

    page.route(f"**/custody/{script}*.js", hold)


def test_what_is_typed_into_the_search_goes_on_where_it_was(
    sign_in: SignIn, held: list[Route]
) -> None:
    page = sign_in("support")
    comes_late(page, "find", held)
    page.goto(reverse("admin:auditing_trackedtable_find"), wait_until="commit")
    box = page.locator("#find-form input[name=q]")
    box.click()
    page.keyboard.type("love")
    held.pop().continue_()
    page.wait_for_load_state("load")
    page.keyboard.type("lace")
    expect(box).to_have_value("lovelace")


def test_who_is_elsewhere_by_then_is_not_called_back(sign_in: SignIn, held: list[Route]) -> None:
    page = sign_in("support")
    comes_late(page, "find", held)
    page.goto(reverse("admin:auditing_trackedtable_find"), wait_until="commit")
    other = page.get_by_role("link", name="By table and key")
    other.focus()
    held.pop().continue_()
    page.wait_for_load_state("load")
    expect(other).to_be_focused()


def test_a_button_of_a_run_stays_while_nothing_of_it_changes(
    sign_in: SignIn, execute: Callable[..., object]
) -> None:
    """A press that began before the first answer came would otherwise be lost."""
    run = furnished().run
    page = sign_in("officer")
    page.goto(reverse("admin:operations_run_change", args=[run.pk]))
    button = page.get_by_role("link", name="Approve", exact=True).element_handle()
    for _ in range(2):
        with page.expect_response(lambda answer: "progress" in answer.url):
            pass
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    assert button.evaluate("(element) => element.isConnected")
    execute("DROP SCHEMA app CASCADE")

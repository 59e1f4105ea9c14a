"""Seals in a browser: an operator seals the log, and sees that it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from auditing.services.track import table_track

from .conftest import SignIn

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_operator_seals_the_log_and_sees_that_it_is(
    sign_in: SignIn, governed: str, execute: Callable[..., list[tuple[Any, ...]]], person: User
) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, status text)")
    table_track("app.orders", actor=person, reason="the law")
    execute("INSERT INTO app.orders VALUES (1, 'new'), (2, 'new')")
    page = sign_in("operator", width=390)
    page.goto("/admin/auditing/sealblock/")
    expect(page.locator("#answer")).to_contain_text("Nothing is sealed yet")
    page.get_by_role("link", name="Seal now").click()
    page.get_by_label("Reason").fill("Before the auditors come.")
    page.get_by_role("button", name="Seal now").click()
    expect(page.locator("#answer.c-notice-success")).to_contain_text("The log is sealed")
    expect(page.locator("#blocks tbody tr")).to_contain_text("app.orders 2")
    page.get_by_role("link", name="Block 1").first.click()
    expect(page.get_by_text("Valid", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

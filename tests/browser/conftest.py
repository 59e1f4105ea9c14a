"""Chromium before a live console: people who sign in, and whatever their browser complains of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from retention.models import RetentionPolicy
from retention.services.policy_import import policy_import
from tests.approving import in_force
from tests.console import PASSWORD, person, signed_in

from .worker import Worker

# The shell is the same engine without windows, and costs a third less.
_PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _PROGRAMS)), "")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE = 20_000
"""Milliseconds: a busy machine is slow, not wrong."""

SignIn = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "browser":
            item.add_marker(pytest.mark.browser)
            if not CHROMIUM:
                item.add_marker(pytest.mark.skip("did not run: Chromium is not installed"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    # Playwright's loop runs in the thread of the tests, which use the database as well.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def complaints() -> list[str]:
    """What a browser must not do: errors in its console, requests to another host."""
    return []


def settled(page: Page) -> None:
    """Waits until a page that has loaded has all that its scripts have asked for since.

    A form with a condition asks a moment later what that means; where there is one, and nowhere
    else, half a second of silence is waited for.
    """
    if page.locator("form[data-say]").count():
        page.wait_for_load_state("networkidle")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    while _on_their_way[page]:
        page.wait_for_timeout(10)


_on_their_way: WeakKeyDictionary[Page, set[Request]] = WeakKeyDictionary()


@pytest.fixture
def new_page(
    chromium: Browser, live_server: LiveServer, complaints: list[str]
) -> Iterator[Callable[..., Page]]:
    """Opens a page of a browser of its own. After the test nothing may have been complained of."""
    contexts = []

    def request_seen(request: Request) -> None:
        _on_their_way[request.frame.page].add(request)
        parts = urlsplit(request.url)
        if parts.scheme != "data" and parts.netloc != urlsplit(live_server.url).netloc:
            complaints.append(f"asked another host: {request.url}")

    def message_seen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"console: {message.text}")

    def open_page(*, width: int = 1280, **options: Any) -> Page:
        context = chromium.new_context(
            base_url=live_server.url, viewport={"width": width, "height": 900}, **options
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        waiting = _on_their_way.setdefault(page, set())

        def request_answered(request: Request) -> None:
            waiting.discard(request)

        page.on("requestfinished", request_answered)
        page.on("requestfailed", request_answered)
        page.on("request", request_seen)
        page.on("console", message_seen)
        page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def sign_in(new_page: Callable[..., Page], live_server: LiveServer) -> SignIn:
    """`sign_in("officer")`: a page on which somebody of that role sees the overview.

    With `role`, somebody of that role under another name; with `typed`, by the form.
    """

    def come_in(name: str, *, role: str = "", typed: bool = False, **options: Any) -> Page:
        user = User.objects.filter(username=name).first() or person(
            name, role=role or name, password=PASSWORD
        )
        page = new_page(**options)
        if typed:
            page.goto("/")
            page.get_by_label("Username").fill(name)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
        else:
            session = signed_in(user).cookies[settings.SESSION_COOKIE_NAME]
            page.context.add_cookies(
                [{"name": session.key, "value": session.value, "url": live_server.url}]
            )
            page.goto("/")
        expect(page).to_have_title("Overview | Custody")
        expect(page.get_by_role("heading", name="Overview", exact=True)).to_be_visible()
        return page

    return come_in


@pytest.fixture
def storefront(transactional_db: None) -> Iterator[dict[str, RetentionPolicy]]:
    """The sample shop, small, and policies for two of its tables, by name."""
    call_command("sample_load", scale=0.02, verbosity=0, stdout=StringIO())
    person("night", role="operator")
    imported = policy_import(
        entries=[
            {"table": "shop.analytics_events", "retentionDays": 365, "archiveBeforeDelete": True},
            {"table": "shop.sessions", "retentionDays": 90},
        ],
        actor=User.objects.get(username="night"),
        reason="the shop's terms",
    )
    yield {policy.name: policy for policy in in_force(imported)}
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA shop CASCADE")


@pytest.fixture
def worker(transactional_db: None) -> Iterator[Worker]:
    """Works on runs step by step, as the test lets it."""
    made = Worker()
    yield made
    made.close()

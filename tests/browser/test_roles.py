"""What each role sees of the console, in light, in dark and on a telephone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from tests.console import Console, furnished

from .conftest import settled

pytestmark = pytest.mark.django_db(transaction=True)

SignIn = Callable[..., Page]

FOUND = ["Audit log", "Audited tables", "Find a record"]
AUDIT = ["Audit log", "Audited tables", "Seals", "Find a record"]
SIDEBAR = {
    "officer": [
        "Overview", *AUDIT, "Policies", "Legal holds", "Bin", "Archives", "Certificates", "Runs",
        "Schedules", "Alerts",
    ],
    "support": ["Overview", *FOUND, "Policies", "Legal holds", "Bin", "Archives", "Runs"],
    "operator": [
        "Overview", *AUDIT, "Policies", "Legal holds", "Bin", "Archives", "Certificates", "Runs",
        "Schedules", "Alerts",
    ],
    "auditor": [
        "Overview", *AUDIT, "Policies", "Legal holds", "Bin", "Archives", "Certificates", "Runs",
        "Schedules", "Alerts", "Users", "Groups",
    ],
}  # fmt: skip
WIDE, NARROW = 1280, 390


@pytest.fixture
def console(execute: Callable[..., Any]) -> Any:
    yield furnished()
    execute("DROP SCHEMA app CASCADE")


def pages(console: Console) -> list[str]:
    """Addresses that every role but support may see; support sees the first ones."""
    return [
        reverse("admin:index"),
        reverse("admin:operations_run_changelist"),
        reverse("admin:operations_run_change", args=[console.run.pk]),
        reverse("admin:retention_retentionpolicy_changelist"),
        reverse("admin:retention_retentionpolicy_change", args=[console.policy.pk]),
        reverse("admin:retention_retentionpolicy_history", args=[console.policy.pk]),
        reverse("admin:retention_archive_changelist"),
        reverse("admin:retention_archive_change", args=[console.archive.pk]),
        reverse("admin:retention_deletion_changelist"),
        reverse("admin:operations_certificate_changelist"),
        reverse("admin:operations_certificate_change", args=[console.certificate.pk]),
        reverse("admin:operations_alert_changelist"),
        reverse("admin:operations_alert_change", args=[console.alert.pk]),
    ]


@pytest.mark.parametrize("role", list(SIDEBAR))
def test_each_role_signs_in_and_is_led_to_its_pages_only(
    sign_in: SignIn, console: Console, role: str
) -> None:
    page = sign_in(role, typed=True)
    links = page.locator("#nav-sidebar-apps li a span:nth-of-type(2)")
    expect(links).to_have_text(SIDEBAR[role])
    seen = pages(console)[: 9 if role == "support" else None]
    for address in pages(console):
        status = page.request.get(address).status
        assert status == (200 if address in seen else 403), address


@pytest.mark.parametrize("role", ["support", "auditor"])
def test_who_only_looks_gets_no_button_that_changes_anything(
    sign_in: SignIn, console: Console, role: str
) -> None:
    page = sign_in(role)
    page.goto(reverse("admin:operations_run_change", args=[console.run.pk]))
    expect(page.get_by_text("A compliance officer or an operator has to approve")).to_be_visible()
    page.goto(reverse("admin:retention_retentionpolicy_change", args=[console.policy.pk]))
    for name in ("Approve", "Refuse", "Cancel", "Pause", "Run now"):
        expect(page.get_by_role("link", name=name)).to_have_count(0)


@pytest.mark.parametrize(("scheme", "width"), [("light", WIDE), ("dark", NARROW)])
def test_every_page_fits_the_screen_without_a_complaint(
    sign_in: SignIn, console: Console, scheme: str, width: int
) -> None:
    """On a desk and on a telephone, and when the one becomes the other while it is looked at."""
    page = sign_in("officer", color_scheme=scheme, width=width)
    for address in [
        *pages(console),
        reverse("admin:operations_run_decide", args=[console.run.pk, "approve"]),
        reverse("admin:retention_retentionpolicy_add"),
        reverse("admin:retention_retentionpolicy_add") + "?table=app.events",
        reverse("admin:retention_retentionpolicy_propose", args=[console.policy.pk]),
        reverse("admin:retention_retentionpolicy_compare", args=[console.policy.pk]),
        reverse("admin:password_change"),
    ]:
        page.goto(address)
        # The next page is then loaded at the width that is meant.
        for each in (width, WIDE + NARROW - width, width):
            page.set_viewport_size({"width": each, "height": 900})
            settled(page)
            needed = page.evaluate("document.documentElement.scrollWidth")
            assert needed <= page.evaluate("window.innerWidth"), f"{address} is {needed} wide"
            expect(page.locator("h1").first).to_be_visible()


def test_without_scripts_a_run_shows_how_things_stand(
    new_page: Callable[..., Page], sign_in: SignIn, console: Console
) -> None:
    cookies = sign_in("operator").context.cookies()
    page = new_page(java_script_enabled=False)
    page.context.add_cookies(cookies)
    page.goto(reverse("admin:operations_run_change", args=[console.run.pk]))
    expect(page.get_by_text("Awaiting approval")).to_be_visible()
    expect(page.get_by_text("of 1,234,567 rows")).to_be_visible()
    page.get_by_role("link", name="Approve").click()
    expect(page.get_by_label("Your password")).to_be_visible()

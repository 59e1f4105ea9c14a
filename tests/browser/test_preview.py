"""The preview of a policy in a browser: there at once, filled a moment later."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from retention.models import RetentionPolicy

from .conftest import SignIn

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("scripts", [True, False])
def test_an_officer_sees_what_would_go(
    sign_in: SignIn, storefront: dict[str, RetentionPolicy], scripts: bool
) -> None:
    policy = next(iter(storefront.values()))
    page = sign_in("officer", typed=True, width=390, java_script_enabled=scripts)
    page.goto(f"/admin/retention/retentionpolicy/{policy.pk}/")
    page.get_by_role("link", name="Preview").click()
    expect(page.get_by_role("heading", name=f"Preview of {policy.name}")).to_be_visible()
    if not scripts:
        page.get_by_role("link", name="Show what a purge would take now").click()
    expect(page.get_by_text("Counted, every row.")).to_be_visible()
    expect(page.get_by_text("What remains where")).to_be_visible()
    wide = page.locator("body").bounding_box()
    assert wide is not None
    assert wide["width"] <= 390

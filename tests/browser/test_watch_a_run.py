"""A purge from the button to its certificate, watched by people."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from playwright.sync_api import Page, expect

from operations.models import Run
from retention.models import RetentionPolicy
from retention.services.purge_start import purge_run
from tests.console import PASSWORD

from .worker import Worker

pytestmark = pytest.mark.django_db(transaction=True)

Policies = dict[str, RetentionPolicy]
SignIn = Callable[..., Page]


def run_now(page: Page, policy: str) -> Run:
    """Asks for a purge as a person does; ends on the page of its run."""
    page.get_by_role("link", name="Policies").first.click()
    page.get_by_role("link", name=policy, exact=False).first.click()
    page.get_by_role("link", name="Run now").click()
    expect(page.get_by_text("Rows due")).to_be_visible()
    page.get_by_label("Reason").fill("the tables are full")
    if page.get_by_label("Type it to confirm").count():
        page.get_by_label("Type it to confirm").fill(f"shop.{policy}")
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_role("heading", name=f"Purge of {policy}")).to_be_visible()
    return Run.objects.latest("id")


def confirm(page: Page, button: str, *, password: str = "") -> None:
    page.get_by_role("link", name=button, exact=True).click()
    page.get_by_label("Reason").fill("a good reason")
    if password:
        page.get_by_label("Your password").fill(password)
    page.get_by_role("button", name=button).click()


def expect_state(page: Page, state: str) -> None:
    expect(page.locator("[data-region=state]")).to_have_text(state)


def test_a_run_is_watched_from_the_queue_to_its_certificate(
    sign_in: SignIn, storefront: Policies, worker: Worker
) -> None:
    page = sign_in("operator")
    page.clock.install()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    run = run_now(page, "analytics_events")
    expect_state(page, "Queued")
    bar = page.get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuenow", "0")

    worker.begin(run.pk)
    expect_state(page, "Running")
    done = 0
    for _ in range(2):
        until_rows_are_gone(run, worker, more_than=done)
        # Nobody loads the page again: it follows the run by itself.
        expect(page.get_by_text("Rows removed")).to_have_count(0)
        run.refresh_from_db()
        expect(page.locator("[data-region=figures]")).to_contain_text(f"of {run.total:,} rows")
        figure = page.locator("[data-region=figures] dd").first
        expect(figure).not_to_have_text(f"{done:,}of {run.total:,} rows")
        shown = int(figure.inner_text().split()[0].replace(",", ""))
        assert done < shown < (run.total or 0)
        done = shown
    assert 0 < int(bar.get_attribute("aria-valuenow") or 0) < 100

    worker.finish()
    expect_state(page, "Succeeded")
    expect(bar).to_have_attribute("aria-valuenow", "100")
    expect(page.get_by_text("What came of it")).to_be_visible()
    expect(page.locator("[data-announce]")).to_have_text("Succeeded, 100 percent")
    before = len(asked)
    page.clock.run_for(30_000)
    expect_state(page, "Succeeded")
    assert len(asked) == before, "an ended run is asked for no more"

    page.get_by_role("link", name="analytics_events-").click()
    expect(page.get_by_role("heading", name="Parts")).to_be_visible()
    page.get_by_role("link", name="C-20").first.click()
    expect(page.get_by_text("Valid", exact=True)).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="PDF").click()
    assert download.value.suggested_filename.endswith(".pdf")


def until_rows_are_gone(run: Run, worker: Worker, *, more_than: int = 0) -> None:
    """A step that detaches a partition removes nothing yet."""
    for _ in range(20):
        worker.step()
        run.refresh_from_db()
        if run.done > more_than:
            return
    raise AssertionError(f"no step removes a row: {run.done}")


def test_a_run_is_paused_and_resumed_with_the_buttons(
    sign_in: SignIn, storefront: Policies, worker: Worker
) -> None:
    page = sign_in("operator")
    run = run_now(page, "analytics_events")
    worker.begin(run.pk)
    expect_state(page, "Running")
    until_rows_are_gone(run, worker)
    confirm(page, "Pause")
    expect_state(page, "Pausing")
    expect(page.get_by_text("The step under way is finished first")).to_be_visible()
    worker.finish()
    expect_state(page, "Paused")
    expect(page.get_by_role("link", name="Pause", exact=True)).to_have_count(0)
    run.refresh_from_db()
    assert 0 < run.done < (run.total or 0)

    confirm(page, "Resume")
    expect_state(page, "Queued")
    worker.begin(run.pk)
    worker.finish()
    expect_state(page, "Succeeded")
    expect(page.locator("[data-region=log]")).to_contain_text(
        "Paused by operator. Reason: a good reason"
    )
    run.refresh_from_db()
    assert run.done == run.total


def test_another_person_approves_and_who_asked_cannot(
    sign_in: SignIn, storefront: Policies, worker: Worker
) -> None:
    night = User.objects.get(username="night")
    assert purge_run(policy=storefront["sessions"], requester=night).run is not None
    with connection.cursor() as cursor:
        # Far more is due than ever before.
        cursor.execute("UPDATE shop.sessions SET created_at = now() - interval '200 days'")
        cursor.execute(
            "INSERT INTO shop.sessions"
            " (id, user_id, token_hash, ip_address, user_agent, created_at, last_active_at)"
            " SELECT gen_random_uuid(), s.user_id, md5(s.id::text || n),"
            " s.ip_address, s.user_agent, s.created_at, s.last_active_at"
            " FROM shop.sessions s, generate_series(1, 20) n"
        )
    asker = sign_in("operator")
    run = run_now(asker, "sessions")
    expect_state(asker, "Awaiting approval")
    expect(asker.get_by_text("You asked for this run, so another person")).to_be_visible()
    expect(asker.get_by_role("link", name="Approve")).to_have_count(0)

    officer = sign_in("officer")
    officer.get_by_role("link", name="Purge of sessions").first.click()
    confirm(officer, "Approve", password="not my password")
    expect(officer.get_by_text("That is not your password.")).to_be_visible()
    officer.get_by_label("Your password").fill(PASSWORD)
    officer.get_by_role("button", name="Approve").click()
    expect_state(officer, "Queued")

    worker.begin(run.pk)
    worker.finish()
    # Who asked still has the page open.
    expect_state(asker, "Succeeded")
    expect(asker.locator("[data-region=log]")).to_contain_text("Approved by officer.")
    run.refresh_from_db()
    assert str(run.decided_by) == "officer"


def test_who_is_signed_out_meanwhile_is_told(
    sign_in: SignIn, storefront: Policies, worker: Worker
) -> None:
    page = sign_in("operator")
    run_now(page, "analytics_events")
    expect_state(page, "Queued")
    page.context.clear_cookies()
    expect(page.get_by_text("You are signed out.")).to_be_visible()

"""Audited tables in the admin: begun, changed, adjusted and ended, each confirmed with a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from auditing.models import AuditEvent, Handling, TrackedTable
from auditing.services.baseline import baseline_run
from auditing.services.track import TrackTerms, table_track
from operations.models import Run
from tests.console import person as somebody
from tests.console import signed_in

from .reading import text_of

pytestmark = pytest.mark.django_db(transaction=True)
Execute = Callable[..., list[tuple[Any, ...]]]
ADD = "/admin/auditing/trackedtable/add/"


@pytest.fixture
def officer(monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr("auditing.admin.tracked_edit.wake", lambda _run: None)
    return signed_in(somebody("olga", role="officer"))


@pytest.fixture
def things(governed: str, execute: Execute) -> None:
    execute(
        "CREATE TABLE app.things (id int PRIMARY KEY, name text, password_hash text,"
        " seen_at timestamptz)"
    )
    execute("CREATE TABLE app.keyless (name text)")
    execute("INSERT INTO app.things VALUES (1, 'a', 'h', now()), (2, 'b', 'h', now())")


def address(tracked: TrackedTable, page: str) -> str:
    return reverse(f"admin:auditing_trackedtable_{page}", args=[tracked.pk])


def terms(**more: str) -> dict[str, str]:
    """The form of `app.things` as it comes: its key is column 0."""
    return {
        "reason": "the law",
        "handling-1": "captured",
        "significant-1": "on",
        "handling-2": "masked",
        "significant-2": "on",
        "handling-3": "captured",
        "significant-3": "on",
        **more,
    }


def test_a_table_is_chosen_from_those_that_can_be_audited(things: None, officer: Client) -> None:
    page = officer.get(ADD).content.decode()
    assert f'href="{ADD}?table=app.things"' in page
    assert f'href="{ADD}?table=app.keyless"' not in page
    assert "has no key that names its rows" in page
    assert "app.keyless" not in officer.get(ADD, {"q": "thing"}).content.decode()


def test_an_audit_begins_with_its_terms_and_a_reason(
    things: None, officer: Client, execute: Execute
) -> None:
    form = f"{ADD}?table=app.things"
    shown = text_of(officer.get(form))
    assert "names the row: always kept" in shown
    nothing = {key: "" for key in terms() if key.startswith("significant")}
    refused = text_of(officer.post(form, terms(**nothing)))
    assert "Some change has to make a version" in refused
    assert "This field is required" in text_of(officer.post(form, terms(reason="")))
    assert not TrackedTable.objects.exists()

    done = officer.post(
        form, terms(**{"handling-3": "excluded", "reason_required": "on"}), follow=True
    )
    tracked = TrackedTable.objects.get()
    assert "app.things is audited from now on. Run" in text_of(done)
    assert tracked.reason_required
    assert dict(tracked.columns.values_list("name", "handling")) == {
        "id": Handling.CAPTURED,
        "name": Handling.CAPTURED,
        "password_hash": Handling.MASKED,
        "seen_at": Handling.EXCLUDED,
    }
    assert Run.objects.get().kind == "audit_baseline"
    event = AuditEvent.objects.get()
    assert (event.kind, event.actor, event.reason) == ("track", "console:olga", "the law")
    again = text_of(officer.post(form, terms(), follow=True))
    assert "app.things is audited already" in again


def test_what_is_kept_is_changed_and_holds_at_once(
    things: None, officer: Client, execute: Execute, person: User
) -> None:
    tracked = table_track(
        "app.things", actor=person, reason="test", terms=TrackTerms(exclude=("seen_at",))
    )
    baseline_run(tracked, requester=person)
    page = officer.get(address(tracked, "adjust")).content.decode()
    assert '<option value="excluded" selected>' in page
    given = terms(**{"handling-3": "captured", "significant-2": "", "handling-1": "masked"})
    done = text_of(officer.post(address(tracked, "adjust"), given, follow=True))
    assert "What is kept of app.things is changed. Run" in done
    execute("UPDATE app.things SET name = 'x', seen_at = '2031-01-01' WHERE id = 1")
    execute("UPDATE app.things SET password_hash = 'y' WHERE id = 1")
    rows = execute(
        'SELECT op, rest, "4_seen_at"::date::text FROM history.app__things'
        " WHERE op <> 'B' ORDER BY seq DESC"
    )
    # One version: of the hash alone there is none any more. It has no name, and the day.
    assert [(op, day) for op, _, day in rows if op == "U"] == [("U", "2031-01-01")]
    event = AuditEvent.objects.get(kind="sync", reason="the law", detail__has_key="mask")
    assert event.detail["mask"] == ["name", "password_hash"]
    assert event.actor == "console:olga"


def test_an_audit_that_does_not_fit_says_so_and_is_adjusted(
    things: None, officer: Client, execute: Execute, person: User
) -> None:
    tracked = table_track("app.things", actor=person, reason="test")
    baseline_run(tracked, requester=person)
    execute("ALTER TABLE app.things ADD COLUMN extra text")
    listed = text_of(officer.get("/admin/auditing/trackedtable/"))
    assert "app.things Needs somebody" in listed
    page = address(tracked, "change")
    assert "New columns are kept aside: extra" in text_of(officer.get(page))
    done = text_of(officer.post(address(tracked, "sync"), {"reason": "a new column"}, follow=True))
    assert "The audit of app.things is as the table is now" in done
    assert "kept aside" not in text_of(officer.get(page))
    again = text_of(officer.post(address(tracked, "sync"), {"reason": "again"}, follow=True))
    assert "was as it should be already" in again


def test_an_audit_ends_and_its_history_stays(
    things: None, officer: Client, execute: Execute, person: User
) -> None:
    tracked = table_track("app.things", actor=person, reason="test")
    execute("INSERT INTO app.things VALUES (3, 'c')")
    end = address(tracked, "untrack")
    refused = text_of(officer.post(end, {"reason": "enough", "confirm": "things"}))
    assert "Type app.things" in refused
    tracked.refresh_from_db()
    assert tracked.untracked_at is None
    given = {"reason": "enough", "confirm": "app.things"}
    done = text_of(officer.post(end, given, follow=True))
    assert "app.things is not audited any more. Its history stays." in done
    execute("INSERT INTO app.things VALUES (4, 'd')")
    assert execute("SELECT count(*) FROM history.app__things WHERE op = 'I'") == [(1,)]
    refused_again = text_of(officer.get(end, follow=True))
    assert "is not audited any more: its history stays as it is" in refused_again


def test_an_auditor_sees_how_it_stands_and_changes_nothing(things: None, person: User) -> None:
    tracked = table_track("app.things", actor=person, reason="because")
    auditor = signed_in(somebody("paul", role="auditor"))
    page = auditor.get(address(tracked, "change"))
    shown = text_of(page)
    assert "The baseline is not finished" in shown
    assert "because" in shown
    assert "/untrack/" not in page.content.decode()
    assert auditor.post(address(tracked, "untrack"), {"reason": "x"}).status_code == 403
    assert auditor.get(ADD).status_code == 403

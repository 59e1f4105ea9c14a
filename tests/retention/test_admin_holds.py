"""Holds in the admin: placed after a look at what they cover, released by somebody else."""

from __future__ import annotations

import html
import json
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from operations.runs.states import RunState
from retention.models import HeldRow, LegalHold
from retention.services.purge_start import purge_run
from tests.console import (
    PASSWORD,
    make_archive,
    make_hold,
    make_policy,
    make_run,
    make_table,
    person,
    signed_in,
)

pytestmark = pytest.mark.django_db
PLACE = "retention_legalhold_place"


@pytest.fixture(autouse=True)
def events() -> None:
    make_table(rows=20)


@pytest.fixture
def officer() -> Client:
    return signed_in(person("officer", role="officer", password=PASSWORD))


def address(name: str, *arguments: object, **query: str) -> str:
    found = reverse(f"admin:{name}", args=arguments)
    return found + "".join(f"?{key}={value}" for key, value in query.items())


def given(**more: str) -> dict[str, str]:
    return {"case_id": "2031-17", "reason": "The court asked.", "condition-mode": "none", **more}


def hidden(text: str) -> dict[str, str]:
    """What the page that confirms sends."""
    found = re.findall(r'<input type="hidden" name="([a-z_-]+)" value="([^"]*)"', text)
    return {name: html.unescape(value) for name, value in found}


def place(client: Client, **more: str) -> str:
    """Through both pages; the text of the last."""
    where = address(PLACE, table="app.events")
    shown = client.post(where, given(**more)).text
    assert "Nothing is held yet." in shown
    assert not LegalHold.objects.exists()
    return client.post(where, hidden(shown), follow=True).text


def test_a_table_is_chosen_first(officer: Client) -> None:
    listed = officer.get(address("retention_legalhold_changelist")).text
    assert address("retention_legalhold_table") in listed
    assert '<option value="app.events"' in officer.get(address("retention_legalhold_table")).text
    answer = officer.post(address("retention_legalhold_table"), {"table": "app.events"})
    assert answer["Location"] == address(PLACE, table="app.events")
    lost = officer.get(address(PLACE, table="app.nowhere"), follow=True)
    assert "There is no table app.nowhere." in lost.text


def test_rows_are_held_by_keys_that_were_pasted(officer: Client) -> None:
    review_on = timezone.localdate() + timedelta(days=90)
    text = place(officer, kind="rows", keys="1\n3\n\n20", review_on=str(review_on))
    assert "The hold 2031-17 is placed." in text
    hold = LegalHold.objects.get()
    assert (str(hold.placed_by), hold.review_on) == ("officer", review_on)
    assert set(HeldRow.objects.values_list("record_id", flat=True)) == {"1", "3", "20"}


def test_a_condition_is_shown_with_what_it_covers_before_it_is_placed(officer: Client) -> None:
    where = {"condition-mode": "text", "condition-text": "id <= 5"}
    shown = officer.post(address(PLACE, table="app.events"), given(kind="condition", **where)).text
    for said in ("Rows it covers now", "<dd>5<small>counted now; rows for which", "id &lt;= 5"):
        assert said in shown, said
    assert "is placed" in place(officer, kind="condition", **where)
    assert LegalHold.objects.get().scopes.get().condition == {
        "column": "id",
        "operator": "<=",
        "value": 5,
    }


def test_a_condition_is_built_of_lines(officer: Client) -> None:
    lines = {
        "condition-mode": "lines",
        "condition-0-0-column": "id",
        "condition-0-0-operator": "=",
        "condition-0-0-value": "7",
    }
    more = officer.post(
        address(PLACE, table="app.events"),
        given(kind="condition", **lines, **{"condition-more": "0"}),
    ).text
    assert 'name="condition-0-1-column"' in more
    assert "Nothing is held yet." not in more
    said = officer.post(address("retention_legalhold_say", table="app.events"), given(**lines))
    assert json.loads(said.content)["said"] == {"sql": "id = 7", "problem": ""}
    assert "is placed" in place(officer, kind="condition", **lines)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"kind": "rows", "keys": "1\n99"}, "1 of the named rows are not in app.events: 99."),
        ({"kind": "rows", "keys": "one"}, "invalid input syntax for type integer"),
        ({"kind": "rows", "keys": "  "}, "One key a line."),
        ({"kind": "condition"}, "Write the condition, or hold all of the table."),
        ({"kind": "table", "review_on": "2001-01-01"}, "A day after today."),
        ({"kind": "table", "reason": ""}, "This field is required."),
    ],
)
def test_what_is_wrong_is_said_beside_it_and_nothing_is_placed(
    officer: Client, more: dict[str, str], said: str
) -> None:
    for confirmed in ({}, {"confirmed": "yes"}):
        text = officer.post(address(PLACE, table="app.events"), given(**more, **confirmed)).text
        assert said in text
    assert not LegalHold.objects.exists()


def test_a_hold_gets_more_rows_under_the_same_case(officer: Client) -> None:
    hold = make_hold(person("somebody"))
    page = officer.get(address("retention_legalhold_change", hold.pk)).text
    assert address("retention_legalhold_table", case="2031-17") in page
    form = officer.get(address(PLACE, table="app.events") + "&case=2031-17").text
    assert 'value="2031-17"' in form
    shown = officer.post(address(PLACE, table="app.events"), given(kind="table")).text
    text = officer.post(address(PLACE, table="app.events"), hidden(shown), follow=True).text
    assert "The hold 2031-17 is extended." in text
    assert "all of it" in text


def test_another_person_releases_it_with_a_password_and_sees_what_becomes_due(
    officer: Client,
) -> None:
    policy = make_policy()
    hold = make_hold(person("somebody", role="officer"))
    archive = make_archive(make_run(policy, hold.placed_by, RunState.SUCCEEDED), policy)
    archive.expires_at = timezone.now() - timedelta(days=1)
    archive.save()
    release = address("retention_legalhold_release", hold.pk)
    shown = officer.get(release).text
    assert "2 rows of app.events" in shown
    assert archive.name in shown
    wrong = officer.post(release, {"reason": "Settled.", "password": "wrong"}).text
    assert "That is not your password." in wrong
    text = officer.post(release, {"reason": "Settled.", "password": PASSWORD}, follow=True).text
    assert "The hold 2031-17 is released." in text
    hold.refresh_from_db()
    assert (str(hold.released_by), hold.release_reason) == ("officer", "Settled.")
    again = officer.get(release, follow=True).text
    assert "The hold 2031-17 is released already." in again


def test_who_placed_it_has_no_button_and_no_way_to_release_it(officer: Client) -> None:
    place(officer, kind="rows", keys="1")
    hold = LegalHold.objects.get()
    said = "officer placed the hold 2031-17 or a part of it: another person has to release it."
    page = officer.get(address("retention_legalhold_change", hold.pk)).text
    assert said in page
    release = address("retention_legalhold_release", hold.pk)
    assert release not in page
    answer = officer.post(release, {"reason": "x", "password": PASSWORD}, follow=True)
    assert said in answer.text
    hold.refresh_from_db()
    assert hold.active


def test_a_review_moves_the_day(officer: Client) -> None:
    hold = make_hold(person("somebody"))
    hold.review_on = timezone.localdate()
    hold.save()
    assert "Review is due" in officer.get(address("retention_legalhold_change", hold.pk)).text
    next_on = timezone.localdate() + timedelta(days=30)
    review = address("retention_legalhold_review", hold.pk)
    officer.post(review, {"reason": "Still in court.", "next_on": str(next_on)})
    hold.refresh_from_db()
    assert hold.review_on == next_on
    past = officer.post(review, {"reason": "x", "next_on": "2001-01-01"}, follow=True).text
    assert "The next review has to be after today" in past


def test_the_page_says_what_it_protects_and_which_purges_met_it(
    officer: Client, transactional_db: None
) -> None:
    hold = make_hold(person("somebody"))
    policy = make_policy()
    run = purge_run(policy=policy, requester=hold.placed_by).run
    assert run is not None
    page = officer.get(address("retention_legalhold_change", hold.pk)).text
    for said in (f"Run {run.pk}", '<td class="c-number" data-unit="rows">2</td>', "named rows"):
        assert said in page, said
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE app.events DROP CONSTRAINT events_pkey")
    page = officer.get(address("retention_legalhold_change", hold.pk)).text
    assert "It does not fit any more: it names rows by a key that is gone" in page
    for name, pk in (("retentionpolicy", policy.pk), ("legalhold", hold.pk)):
        assert officer.get(address(f"retention_{name}_change", pk)).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA app CASCADE")


def test_pages_of_the_table_name_its_holds(officer: Client) -> None:
    policy = make_policy()
    hold = make_hold(person("somebody"))
    archive = make_archive(make_run(policy, hold.placed_by, RunState.SUCCEEDED), policy)
    to_hold = address("retention_legalhold_change", hold.pk)
    for name, pk in (("retentionpolicy", policy.pk), ("archive", archive.pk)):
        page = officer.get(address(f"retention_{name}_change", pk)).text
        assert "Under legal hold" in page
        assert to_hold in page


def test_the_list_finds_holds_and_asks_as_much_for_many_as_for_few(officer: Client) -> None:
    somebody = person("somebody")
    listed = address("retention_legalhold_changelist")

    def asked() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert officer.get(listed).status_code == 200
        return len(captured)

    make_hold(somebody, "2031-17")
    few = asked()
    for number in range(20):
        make_hold(somebody, f"case {number}")
    assert asked() == few <= 14
    found = officer.get(listed, {"q": "case 7"}).text
    assert "case 7" in found
    assert "2031-17" not in found
    assert officer.get(listed, {"active": "no"}).text.count("The court asked.") == 0

"""Placing, releasing and reviewing holds, and what is said about the records they touch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from operations import vetoes
from operations.catalogue.read import table as read_table
from operations.catalogue.types import TableName
from operations.exceptions import CustodyError
from operations.models import Alert, ScheduledJob
from retention import tasks
from retention.models import Archive, HeldRow, HoldScope, LegalHold
from retention.selectors.hold_follows import release_preview
from retention.selectors.holds import holds_on
from retention.services.hold_place import ScopeAsked, hold_place, hold_preview
from retention.services.hold_release import hold_release, hold_review
from tests.console import make_archive, make_run

from .holding import officer, place, release
from .purging import make_events, make_policy

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def ada(governed: str) -> User:
    return officer("ada")


def open_alerts() -> dict[str, str]:
    return dict(Alert.objects.filter(resolved_at=None).values_list("key", "summary"))


def test_a_case_gets_further_scopes_until_it_is_released_and_then_a_new_hold(
    execute: Execute,
) -> None:
    make_events(execute, due=10)
    first = place("2031-17", rows=["3", "1", " 3 "])
    again = hold_place(
        case_id="2031-17",
        reason="More of it.",
        scopes=[ScopeAsked("events", where="kind = 'x'")],
        placed_by=officer("bob"),
    )
    assert (again.hold, again.added) == (first, True)
    assert [(s.kind, str(s.table), str(s.added_by)) for s in first.scopes.all()] == [
        ("rows", "app.events", "ada"),
        ("condition", "app.events", "bob"),
    ]
    assert list(HeldRow.objects.order_by("record_id").values_list("record_id", flat=True)) == [
        "1",
        "3",
    ]
    assert [h.history_change_reason for h in first.history.order_by("history_id")] == [
        "app.events: The court asked.",
        "app.events: More of it.",
    ]
    release("2031-17")
    assert place("2031-17") != first


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ({"rows": ["1", "77777", "88888"]}, "2 of the named rows are not in app.events: 77777,"),
        ({"rows": ["one"]}, 'invalid input syntax for type bigint: "one"'),
        ({"rows": ["", " "]}, "No row is named."),
        ({"where": "nothing = 1"}, "The table app.events has no column nothing."),
        ({"where": "id = 1", "rows": ["1"]}, "A condition or named rows, not both"),
        ({"table": "app.nowhere"}, "There is no table app.nowhere."),
    ],
)
def test_what_cannot_be_held_is_refused_and_nothing_is_placed(
    execute: Execute, scope: dict[str, Any], said: str
) -> None:
    make_events(execute, due=10)
    with pytest.raises(CustodyError) as error:
        place("2031-17", **scope)
    assert said in str(error.value)
    assert not LegalHold.objects.exists()
    assert not HoldScope.objects.exists()


def test_rows_of_a_table_without_a_key_cannot_be_named(execute: Execute) -> None:
    execute("CREATE TABLE app.loose (id int, created_at timestamptz)")
    with pytest.raises(CustodyError, match="has no key, so its rows cannot be named one by one"):
        place("2031-17", "app.loose", rows=["1"])
    assert place("2031-17", "app.loose", where="id = 1").active


def test_a_preview_counts_what_a_scope_would_hold(execute: Execute) -> None:
    make_events(execute, due=40, fresh=0, ageless=0)
    execute("ANALYZE app.events")

    def covers(**scope: Any) -> tuple[str, int]:
        found = hold_preview(ScopeAsked("app.events", **scope))
        return str(found.rows), found.missing

    assert covers() == ("about 40", 0)
    # A quarter is empty and a quarter NULL.
    assert covers(where="kind = ''") == ("20", 0)
    assert covers(rows=["1", "2", "99"], missing_ok=True) == ("2", 1)
    with pytest.raises(CustodyError, match=r"1 of the named rows are not in app.events: 99"):
        covers(rows=["1", "2", "99"])
    assert not LegalHold.objects.exists()


def test_who_placed_a_hold_or_a_part_of_it_cannot_release_it(execute: Execute) -> None:
    make_events(execute, due=10)
    hold = place("2031-17")
    hold_place(
        case_id="2031-17",
        reason="More.",
        scopes=[ScopeAsked("app.events", rows=["1"])],
        placed_by=officer("bob"),
    )
    outsider = User.objects.create_user("mallory")
    for person, said in (
        (officer("ada"), "ada placed the hold 2031-17 or a part of it: another person"),
        (officer("bob"), "bob placed the hold 2031-17 or a part of it: another person"),
        (outsider, "mallory has no permission to release holds."),
    ):
        with pytest.raises(CustodyError) as error:
            hold_release(case_id="2031-17", released_by=person, reason="Settled.")
        assert said in str(error.value)
        assert error.value.exit_code == 3
    hold.refresh_from_db()
    assert hold.active
    released = release("2031-17")
    assert (str(released.released_by), released.release_reason) == ("grace", "Settled.")
    with pytest.raises(CustodyError, match="was released on"):
        release("2031-17")
    with pytest.raises(CustodyError, match="There is no hold for a case '2031-71'"):
        release("2031-71")


def test_a_release_says_first_what_becomes_due(execute: Execute, ada: User) -> None:
    make_events(execute, due=40)
    policy = make_policy()
    hold = place("2031-17", where="id <= 10")
    place("2031-18", where="id <= 3")
    past = timezone.now() - timedelta(days=1)
    archive = make_archive(make_run(policy, ada), policy)
    Archive.objects.update(expires_at=past)

    def preview() -> tuple[list[tuple[str, str]], list[Archive]]:
        found = release_preview(hold=hold, now=timezone.now())
        return [(each.policy.name, str(each.rows)) for each in found.due], list(found.archives)

    # Of ten rows three are held by another case too, and so is the table's archive.
    assert preview() == ([("events", "7")], [])
    release("2031-18")
    assert preview() == ([("events", "10")], [archive])


def test_archives_of_a_held_table_stay_also_when_the_table_is_gone(execute: Execute) -> None:
    make_events(execute, due=10)
    name = TableName("app", "events")
    assert vetoes.holders(name, using="default") == []
    place("2031-17", rows=["1"])
    execute("DROP TABLE app.events")
    assert vetoes.holders(name, using="default") == ["hold 2031-17"]
    release("2031-17")
    assert vetoes.holders(name, using="default") == []


def test_each_record_says_which_holds_touch_it(execute: Execute) -> None:
    make_events(execute, due=10, fresh=0, ageless=0)
    place("2031-17", rows=["1", "2", "77"], missing_ok=True)
    place("2031-18", where="kind = ''")
    place("2031-19", where="id = 2")
    table = read_table("app.events")
    found = holds_on(table, ["1", "2", "4", "6", "77", "78"])
    assert {key: [hold.case_id for hold in holds] for key, holds in found.items()} == {
        "1": ["2031-17", "2031-18"],
        "2": ["2031-17", "2031-19"],
        "4": ["2031-18"],  # Its kind is NULL.
        # Not in the table: whether a condition holds for them is not known.
        "77": ["2031-17", "2031-18", "2031-19"],
        "78": ["2031-18", "2031-19"],
    }
    release("2031-17")
    assert list(holds_on(table, ["1", "6"])) == ["1"]


def test_a_scope_follows_its_table_to_another_name(execute: Execute) -> None:
    make_events(execute, due=10)
    place("2031-17", rows=["1"])
    execute("ALTER TABLE app.events RENAME TO events_old")
    execute("CREATE TABLE app.events (LIKE app.events_old INCLUDING ALL)")
    for name in ("app.events", "app.events_old"):
        assert [p.by for p in vetoes.protections(read_table(name), using="default")] == [
            "hold 2031-17"
        ]


@pytest.mark.parametrize(
    ("change", "scope", "why"),
    [
        (
            "ALTER TABLE app.events DROP COLUMN kind CASCADE",
            {"where": "kind = 'x'"},
            "its condition does not fit the table any more: The table app.events has no column",
        ),
        (
            "ALTER TABLE app.events ALTER kind TYPE int USING 1",
            {"where": "kind = 'x'"},
            "its condition does not fit the table any more: PostgreSQL says: invalid input syntax",
        ),
        (
            "ALTER TABLE app.events DROP CONSTRAINT events_pkey",
            {"rows": ["1"]},
            "it names rows by a key that is gone",
        ),
        (
            "ALTER TABLE app.events ALTER id TYPE text",
            {"rows": ["1"]},
            "it names rows by a key that is another now",
        ),
    ],
)
def test_a_scope_that_cannot_be_read_any_more_holds_the_whole_table_and_is_an_alert(
    execute: Execute, change: str, scope: dict[str, Any], why: str
) -> None:
    make_events(execute, due=10)
    if "kind" in change:
        execute("ALTER TABLE app.events DROP COLUMN long")
    hold = place("2031-17", **scope)
    tasks.hold_watch()
    assert open_alerts() == {}
    execute(change)
    [protection] = vetoes.protections(read_table("app.events"), using="default")
    assert protection.rows is None
    assert protection.by.startswith(f"hold 2031-17 ({why}")
    tasks.hold_watch()
    key = f"hold-astray:{hold.pk}:{hold.scopes.get().pk}"
    assert open_alerts()[key].startswith(
        f"The hold 2031-17 does not fit app.events any more: {why}"
    )
    assert "All of app.events is held meanwhile." in Alert.objects.get(key=key).remedy
    release("2031-17")
    assert open_alerts() == {}


def test_a_key_that_only_got_wider_or_another_name_still_names_its_rows(execute: Execute) -> None:
    execute("CREATE TABLE app.slim (id int PRIMARY KEY, created_at timestamptz)")
    execute("INSERT INTO app.slim VALUES (1), (2)")
    place("2031-17", "app.slim", rows=["1"])
    execute("ALTER TABLE app.slim ALTER id TYPE bigint")
    execute("ALTER TABLE app.slim RENAME id TO number")
    table = read_table("app.slim")
    found = vetoes.protections(table, using="default")
    free = vetoes.unprotected(found, table=table).as_string()
    assert execute(f"SELECT number FROM app.slim t WHERE {free}") == [(2,)]


def test_a_table_that_vanished_is_an_alert_until_the_hold_is_released(execute: Execute) -> None:
    make_events(execute, due=10)
    place("2031-17")
    execute("DROP TABLE app.events")
    tasks.hold_watch()
    assert list(open_alerts().values()) == [
        "The hold 2031-17 does not fit app.events any more: there is no such table."
    ]
    release("2031-17")
    assert open_alerts() == {}


def test_a_review_that_is_due_is_an_alert_until_somebody_looked(execute: Execute) -> None:
    make_events(execute, due=10)
    today = timezone.localdate()
    hold = place("2031-17", review_on=today)
    place("2031-18", review_on=today + timedelta(days=1))
    place("2031-19")
    tasks.hold_watch()
    assert open_alerts() == {
        f"hold-review:{hold.pk}": f"The hold 2031-17 was to be reviewed by {today}."
    }
    assert ScheduledJob.objects.get().name == "retention.hold_watch"
    with pytest.raises(CustodyError, match="has to be after today"):
        review(today)
    review(today + timedelta(days=90))
    assert open_alerts() == {}
    tasks.hold_watch()
    assert open_alerts() == {}
    assert [str(h.review_on) for h in hold.history.order_by("history_id")] == [
        str(today),
        str(today + timedelta(days=90)),
    ]


def review(on: Any) -> None:
    hold_review(case_id="2031-17", reviewed_by=officer("ada"), next_on=on, reason="Still in court.")

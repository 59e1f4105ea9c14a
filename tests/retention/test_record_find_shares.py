"""A common name: live, in the bin, deleted and archived records are all told, and of each more."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from auditing.services.track import TrackTerms, table_track
from operations.services.record_find import Found, NoSuchStanding, record_find
from tests.console import person as somebody

from .archiving import OLD, archive_of, command
from .softdeleting import enable, soft_delete

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("olivias")]
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def olivias(governed: str, execute: Execute, person: User) -> None:
    """70 live ones, changed last; 9 in the bin, 40 deleted without one, 20 archived."""
    execute(
        "CREATE TABLE app.people (id bigint PRIMARY KEY, name text, iban text, note text);"
        "CREATE TABLE app.old (id bigint PRIMARY KEY, name text, created_at timestamptz);"
        f"INSERT INTO app.old SELECT n, 'Olivia ' || n, {OLD} FROM generate_series(1, 20) n"
    )
    table_track("app.people", actor=person, reason="", terms=TrackTerms(mask=["iban"]))
    execute(
        "INSERT INTO app.people SELECT n, 'Olivia Kone ' || n, 'GB29NWBK' || 60000000 + n"
        " FROM generate_series(1, 119) n"
    )
    archive_of("old")
    enable("people")
    for each in range(1, 10):
        soft_delete("people", each)
    execute("DELETE FROM app.people WHERE id BETWEEN 10 AND 49")
    execute("UPDATE app.people SET note = 'seen' WHERE id >= 50")


def find(text: str, **more: Any) -> Found:
    found = record_find(text, seconds=60, **more)
    assert found.complete, found.missed
    return found


def told(found: Found) -> dict[str, tuple[int, bool]]:
    return {share.standing.kind: (len(share.hits), share.more) for share in found.shares}


def test_each_standing_has_its_share_and_says_that_there_is_more() -> None:
    found = find("olivia")
    assert told(found) == {
        "live": (8, True), "bin": (8, True), "archive": (7, True), "history": (7, True)
    }  # fmt: skip
    assert told(find("olivia", limit=100)) == {
        "live": (36, True), "bin": (9, False), "archive": (20, False), "history": (35, True)
    }  # fmt: skip
    everything = find("olivia", limit=200)
    assert told(everything) == {
        "live": (70, False), "bin": (9, False), "archive": (20, False), "history": (40, False)
    }  # fmt: skip
    assert not everything.more
    # Many of them are in the history too: each is told once.
    assert len({(hit.table, hit.record_id) for hit in everything.hits}) == 139


@pytest.mark.parametrize(
    ("only", "expected"),
    [("live", (30, True)), ("bin", (9, False)), ("archive", (20, False)), ("history", (30, True))],
)
def test_one_alone_has_all_places(only: str, expected: tuple[int, bool]) -> None:
    found = find("olivia", only=only)
    assert told(found) == {only: expected}
    assert {hit.best.kind for hit in found.hits} == {only}


def test_one_alone_is_found_by_what_it_was_too(execute: Execute) -> None:
    execute("UPDATE app.people SET name = 'Zoe' WHERE id = 60")
    execute("UPDATE app.people SET name = 'Zoe' WHERE id = 3")
    execute("INSERT INTO app.people VALUES (10, 'Nia')")
    for text, only, record in [
        ("olivia kone 60", "live", "60"), ("olivia kone 3", "bin", "3"),
        ("olivia kone 11", "history", "11"), ("olivia kone 10", "live", "10"),
    ]:  # fmt: skip
        standing = {
            each: record in {hit.record_id for hit in find(text, only=each).hits}
            for each in ("live", "bin", "archive", "history")
        }
        assert [each for each, there in standing.items() if there] == [only], text


def test_the_whole_value_first_then_a_word_then_a_part_in_each(execute: Execute) -> None:
    execute(
        "INSERT INTO app.people VALUES (901, 'Oliviana', NULL, NULL), (902, 'Olivia', NULL, NULL)"
    )
    execute("INSERT INTO app.people VALUES (903, 'Carolivia'), (904, 'OLIVIA')")
    soft_delete("people", 903)
    soft_delete("people", 904)
    execute("INSERT INTO app.people VALUES (905, 'xolivia'), (906, 'olivia')")
    execute("DELETE FROM app.people WHERE id IN (905, 906)")
    shares = {share.standing.kind: share.hits for share in find("olivia", limit=400).shares}
    for kind, first, last in [
        ("live", "902", "901"), ("bin", "904", "903"), ("history", "906", "905")
    ]:  # fmt: skip
        assert (shares[kind][0].record_id, shares[kind][-1].record_id) == (first, last)
    # Also when only the best are told.
    best = {share.standing.kind: share.hits for share in find("olivia", limit=4).shares}
    assert [best[kind][0].record_id for kind in ("live", "bin", "history")] == ["902", "904", "906"]


def test_the_command_tells_the_shares_and_how_to_narrow() -> None:
    out = StringIO()
    call_command("record_find", "olivia", seconds=60.0, stdout=out)
    said = out.getvalue()
    for heading in (
        "Live (8, and there are more):", "In the bin (8, and there are more):",
        "In archives of purges (7, and there are more):",
        "Deleted, in the history (7, and there are more):",
    ):  # fmt: skip
        assert heading in said
    assert (
        ": 8 live and more, 8 in the bin and more, 7 in an archive and more, "
        "7 deleted, in the history and more." in said
    )
    assert (
        "There are more in app.old, app.people: say more of it, or "
        "--only live|bin|archive|history, --table TABLE, --limit N." in said
    )
    _, document = command("record_find", "olivia", only="bin", seconds=60.0)
    found = document["find"]
    assert (found["only"], found["more_in"]) == ("bin", [])
    assert found["standings"] == [
        {"standing": "bin", "hits": 9, "more": False, "narrow": "--only bin"}
    ]
    assert {hit["standing"] for hit in found["hits"]} == {"bin"}
    with pytest.raises(CommandError, match="'live', 'bin', 'archive', 'history'"):
        call_command("record_find", "olivia", "--only", "nowhere", stdout=StringIO())


def test_a_masked_column_finds_for_nobody_who_may_not_see_it(execute: Execute) -> None:
    support = somebody("sue", role="support")
    execute("ALTER TABLE app.people RENAME iban TO account_number")
    for text in ("GB29NWBK60000060", "GB29NWBK60000003", "GB29NWBK60000011"):
        assert record_find(text, seconds=60, user=support).hits == ()
    # Nor is it shown of a record that is found by something else.
    (hit,) = record_find("Olivia Kone 60", seconds=60, user=support).hits
    assert dict(hit.values) == {"name": "Olivia Kone 60", "note": "seen"}
    # Whoever has a shell sees the table anyway; the history never had it.
    assert [hit.record_id for hit in find("GB29NWBK60000060").hits] == ["60"]
    assert [hit.best.kind for hit in find("GB29NWBK60000003").hits] == ["bin"]
    assert find("GB29NWBK60000011").hits == ()


def test_what_a_person_may_not_see_is_no_standing_of_theirs() -> None:
    auditor = somebody("paul", role="auditor")
    found = record_find("olivia", seconds=60, user=auditor)
    assert [share.standing.kind for share in found.shares] == ["live", "history"]
    with pytest.raises(NoSuchStanding, match="live, history"):
        record_find("olivia", only="bin", user=auditor)

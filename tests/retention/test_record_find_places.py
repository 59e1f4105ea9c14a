"""One record, wherever it is: live, in the bin, in an archive, in the history, held."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from auditing.services.track import table_track
from operations.finding import Hit
from operations.services.record_find import record_find
from operations.storage import storage
from retention.models import Archive
from retention.services.hold_place import ScopeAsked, hold_place

from .archiving import OLD, archive_of, command
from .softdeleting import enable, soft_delete

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]

PEOPLE = """
CREATE TABLE app.people (
    id bigint PRIMARY KEY, email text, name text, phone text, note text, total numeric(8, 2),
    created_at timestamptz, token text, about jsonb);
CREATE TABLE app.orders (
    id bigint PRIMARY KEY, person bigint REFERENCES app.people ON DELETE CASCADE, title text);
"""


@pytest.fixture
def people(governed: str, execute: Execute) -> None:
    execute(PEOPLE)
    execute(
        "INSERT INTO app.people SELECT n, 'p' || n || '@x.org', E'Name \"' || n || E'\",\\nx',"
        f" '+1 202 555 ' || 1000 + n, 'a note on ' || n, n + 0.5, {OLD} + n * interval '1 day',"
        " 'hush' || n, jsonb_build_object('size', n) FROM generate_series(1, 30) n"
    )
    execute(
        "INSERT INTO app.orders SELECT n + 100, n, 'Order of ' || n FROM generate_series(1, 3) n"
    )


def find(text: str, **more: Any) -> list[Hit]:
    found = record_find(text, seconds=60, **more)
    assert found.complete, found.missed
    return list(found.hits)


def kinds(hit: Hit) -> list[str]:
    return [place.kind for place in hit.places]


def run(line: str, person: User) -> None:
    name, *arguments = shlex.split(line)
    call_command(name, *arguments, user=person.username, no_input=True, stdout=StringIO())


@pytest.mark.usefixtures("people")
def test_in_the_bin_with_its_deletion_and_back(execute: Execute, person: User) -> None:
    enable("people")
    enable("orders")
    deletion = soft_delete("people", 2)
    (hit,) = find("p2@x.org")
    (place,) = hit.places
    assert (place.kind, place.what) == ("bin", f"in the bin, deletion {deletion.pk}")
    assert (place.at, place.by) == (deletion.deleted_at, deletion.actor)
    assert place.command == f"record_restore {deletion.pk}"
    # What went along comes back with what hangs on it, and with what it needs.
    (order,) = find("Order of 2")
    assert order.places[0].command == f"record_restore {deletion.pk} --only app.orders 102"
    # By the key, and by what stands deep in it.
    assert [kinds(each) for each in find("2") if each.table.name == "people"] == [["bin"]]
    assert [kinds(each) for each in find("a note on 2") if each.record_id == "2"] == [["bin"]]
    run(place.command, person)
    (hit,) = find("p2@x.org")
    assert kinds(hit) == ["live"]


@pytest.mark.usefixtures("people")
def test_in_the_bin_and_in_the_history_is_one_hit(execute: Execute, person: User) -> None:
    table_track("app.people", actor=person, reason="")
    enable("people")
    execute("UPDATE app.people SET email = 'newer@x.org' WHERE id = 5")
    deletion = soft_delete("people", 5)
    for text in ("newer@x.org", "p5@x.org"):
        (hit,) = [each for each in find(text) if each.record_id == "5"]
        assert kinds(hit) == ["bin", "history"]
        assert hit.places[0].command == f"record_restore {deletion.pk}"
        assert dict(hit.values)["email"] == "newer@x.org"


@pytest.fixture
def archive(people: None, execute: Execute) -> Archive:
    execute("DROP TABLE app.orders")
    return archive_of("people")


@pytest.mark.parametrize(
    "text",
    ["P7@X.org", "7", 'name "7"', "202 555 1007", "(202) 5551007", "a note on 7", "7.50",
     "2001-02-10", 'Name "7",\nx'],
)  # fmt: skip
def test_in_an_archive_and_back(
    archive: Archive, execute: Execute, person: User, text: str
) -> None:
    (hit, *others) = find(text)
    assert (hit.record_id, kinds(hit)) == ("7", ["archive"])
    assert not others
    (place,) = hit.places
    assert place.what == f"in the archive {archive.name}, row 1:7"
    assert place.at is not None
    assert dict(hit.values)["email"] == "p7@x.org"
    run(place.command, person)
    assert execute("SELECT id, email FROM app.people") == [(7, "p7@x.org")]
    (hit,) = find(text)
    assert kinds(hit) == ["live", "archive"]


@pytest.mark.parametrize("text", ["hush7", "p7_x.org", "p7%", "p77@x.org", "1.7", "2001-03-30"])
def test_in_no_archive(archive: Archive, text: str) -> None:
    assert find(text) == []


def test_an_archive_that_cannot_be_read_is_said(archive: Archive) -> None:
    part = archive.parts.get()
    storage().delete(part.file)
    found = record_find("p7@x.org", seconds=60)
    assert not found.hits
    assert [each.what for each in found.missed] == [f"archive {archive.name}"]
    code, document = command("record_find", "p7@x.org", seconds=60.0)
    assert code == 0
    assert not document["find"]["complete"]


def test_parts_of_other_keys_are_not_read(
    people: None, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the key one part of three is read first; the others are looked through after it."""
    from retention.services import part_scan

    execute("DROP TABLE app.orders")
    archive = archive_of("people")
    part = archive.parts.get()
    part.window = {"by": "key", "after": None, "upto": ["30"]}
    part.save()
    run_ = archive.run
    run_.parameters["walk"] = {"by": "key", "columns": ["id"]}
    run_.save()
    read: list[str] = []
    original = part_scan.PartReader

    def seen(store: Any, file: str, **more: Any) -> Any:
        read.append(file)
        return original(store, file, **more)

    monkeypatch.setattr(part_scan, "PartReader", seen)
    (hit,) = find("7", limit=1)
    assert hit.record_id == "7"
    # Once to see that it is there, once for its line; and not again with the rest.
    assert read == [part.file, part.file]
    read.clear()
    find("4711")
    assert read == [part.file]


@pytest.mark.usefixtures("people")
def test_held_by_name_by_condition_and_as_a_whole(execute: Execute, person: User) -> None:
    def held(text: str) -> list[str]:
        (hit,) = find(text)
        return hit.held

    def place(case: str, **scope: Any) -> None:
        hold_place(
            case_id=case,
            reason="The court asked.",
            scopes=[ScopeAsked("app.people", **scope)],
            placed_by=person,
        )

    assert held("p3@x.org") == []
    place("2031-1", rows=["3"])
    place("2031-2", where="email = 'p3@x.org'")
    place("2031-3", where="total > 20")
    assert sorted(held("p3@x.org")) == ["hold 2031-1", "hold 2031-2"]
    assert held("p4@x.org") == []
    assert held("p25@x.org") == ["hold 2031-3"]
    # In the bin it is held all the same.
    enable("people")
    soft_delete("people", 25)
    assert held("p25@x.org") == ["hold 2031-3"]
    place("2031-4")
    assert held("p4@x.org") == ["hold 2031-4"]
    _, document = command("record_find", "p4@x.org", seconds=60.0)
    assert document["find"]["hits"][0]["held_by"] == ["hold 2031-4"]

"""The history is found in: what a record was, and rows that went without a bin."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from auditing.models import TrackedTable
from auditing.services.track import TrackTerms, table_track
from operations.catalogue.types import TableName
from operations.finding import Hit
from operations.services.record_find import record_find

pytestmark = pytest.mark.django_db(transaction=True)
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def people(governed: str, execute: Execute, person: User) -> TrackedTable:
    execute(
        "CREATE TABLE app.people (id int, part text, email text, name text, secret text,"
        " note text, PRIMARY KEY (id, part))"
    )
    tracked = table_track(
        "app.people", actor=person, reason="test", terms=TrackTerms(mask=["secret"])
    )
    execute("INSERT INTO app.people VALUES (1, 'a b', 'old@x.org', 'Ada', 's3cret', 'likes tea')")
    execute("UPDATE app.people SET email = 'new@x.org'")
    execute("UPDATE app.people SET note = 'likes coffee'")
    return tracked


def find(text: str, **more: Any) -> list[Hit]:
    found = record_find(text, seconds=60, **more)
    assert found.complete, found.missed
    return list(found.hits)


def test_by_what_a_record_was(people: TrackedTable, execute: Execute) -> None:
    (hit,) = find("old@x.org")
    assert (str(hit.table), hit.record_id, hit.by) == ("app.people", '["1","a b"]', ("email",))
    # It is live, and is shown as it is now.
    assert dict(hit.values)["email"] == "new@x.org"
    live, past = hit.places
    assert (live.kind, past.kind) == ("live", "history")
    assert past.what == "so in version 1 of 3 in the history"
    assert past.command == 'audit_restore app.people \'["1","a b"]\' --version 1'
    (hit,) = find("likes tea")
    assert hit.places[1].facts["version"] == 2
    (hit,) = find("new@x.org")
    assert hit.places[1].what == "3 versions in the history"
    assert hit.places[1].command.startswith("audit_history ")
    assert find("s3cret") == []


@pytest.mark.parametrize("text", ["1,a b", '["1", "a b"]', "1", "Ada", "new@x.org", "coffee"])
def test_a_row_that_was_deleted_comes_back_by_the_command_that_is_told(
    people: TrackedTable, execute: Execute, person: User, text: str
) -> None:
    row = execute("SELECT * FROM app.people")
    execute("DELETE FROM app.people")
    (hit,) = find(text)
    (place,) = hit.places
    assert (place.kind, place.what) == ("history", "deleted; its last version is 4")
    assert place.facts["deleted"]
    assert place.at is not None
    assert place.by.startswith("db:")
    name, *arguments = shlex.split(place.command)
    call_command(name, *arguments, user=person.username, no_input=True, stdout=StringIO())
    assert execute("SELECT id, part, email, name, note FROM app.people") == [
        (*row[0][:4], row[0][5])
    ]
    (again,) = find(text)
    assert again.best.kind == "live"


def test_columns_that_came_and_went_are_found_in(
    people: TrackedTable, execute: Execute, person: User
) -> None:
    execute("ALTER TABLE app.people ADD nickname text")
    execute("UPDATE app.people SET nickname = 'the countess'")
    assert [hit.record_id for hit in find("countess")] == ['["1","a b"]']
    execute("ALTER TABLE app.people DROP nickname")
    (hit,) = find("countess")
    assert hit.places[-1].facts["version"] == 4
    # A table that is gone is found in by its name all the same.
    execute("DROP TABLE app.people")
    (hit,) = find("countess", tables=[TableName("app", "people")])
    assert [place.kind for place in hit.places] == ["history"]


def test_what_there_was_no_time_for_is_said(people: TrackedTable) -> None:
    found = record_find("nowhere", seconds=0.0001)
    assert "history of app.people" in {each.what for each in found.missed}

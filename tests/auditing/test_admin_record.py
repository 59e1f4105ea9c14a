"""The record page: versions, two of them compared, a moment, a restore, a name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from auditing.admin.record_links import record_id_of, record_url, slug_of
from auditing.models import TrackedTable, VersionNote
from auditing.selectors.versions import versions_of
from auditing.services.track import TrackTerms, table_track
from tests.console import person as somebody
from tests.console import signed_in

from .reading import text_of

pytestmark = pytest.mark.django_db(transaction=True)
Execute = Callable[..., list[tuple[Any, ...]]]

ODD = [
    "..",
    ".",
    "",
    "a/b",
    "ü ?#%&=+;",
    "_2F_",
    "_",
    "line\nbreak\t",
    '"quoted"',
    "a\\b",
    "💥",
    " x ",
]


@pytest.fixture
def notes(governed: str, execute: Execute, person: User) -> TrackedTable:
    execute(
        "CREATE TABLE app.notes (id text PRIMARY KEY, title text, body text, secret text,"
        " mail text UNIQUE)"
    )
    return table_track("app.notes", actor=person, reason="test", terms=TrackTerms(mask=("secret",)))


@pytest.fixture
def support() -> Client:
    return signed_in(somebody("sue", role="support"))


def seqs(tracked: TrackedTable, record_id: str) -> list[int]:
    """Of its versions, the oldest first."""
    return [version.seq for version in versions_of(tracked, record_id).versions][::-1]


@pytest.mark.parametrize("key", ODD)
def test_a_record_id_of_any_characters_has_an_address(key: str) -> None:
    slug = slug_of(key)
    assert record_id_of(slug) == key
    assert re.fullmatch(r"[A-Za-z0-9_-]+", slug)


def test_records_of_odd_keys_have_their_pages(
    notes: TrackedTable, execute: Execute, support: Client
) -> None:
    for number, key in enumerate(ODD):
        execute("INSERT INTO app.notes (id, title) VALUES (%s, %s)", [key, f"title {number}"])
    for number, key in enumerate(ODD):
        shown = text_of(support.get(record_url(notes, key)))
        assert f"title {number}" in shown, key
        assert "1 version " in shown


def test_versions_tell_who_why_and_what_changed(
    notes: TrackedTable, execute: Execute, support: Client
) -> None:
    execute(
        "BEGIN; SELECT custody.set_context('4711', 'Because <b>she</b> asked', 'c@example.org');"
        " INSERT INTO app.notes VALUES ('n', 'First', 'Long ago', 's', NULL); COMMIT"
    )
    execute("UPDATE app.notes SET title = 'Second', secret = 'other'")
    execute("DELETE FROM app.notes")
    shown = text_of(support.get(record_url(notes, "n")))
    assert "app.notes n Deleted" in shown
    assert "3 versions" in shown
    assert "As it was last" in shown
    assert "Because <b>she</b> asked" in shown
    assert "c@example.org" in shown
    assert "title First → Second" in shown
    assert "secret changed; masked → changed; masked" in shown
    assert "other" not in shown
    assert text_of(support.get(record_url(notes, "gone"))).count("Nothing is recorded") == 2


def test_two_versions_side_by_side(notes: TrackedTable, execute: Execute, support: Client) -> None:
    body = "The goods are replaced within {} days of the complaint, free of charge and carriage."
    execute("INSERT INTO app.notes VALUES ('n', 'Terms', %s)", [body.format(14)])
    execute("UPDATE app.notes SET body = %s", [body.format(30)])
    execute("UPDATE app.notes SET secret = 'x'")
    first, second, third = seqs(notes, "n")
    compare = record_url(notes, "n", "record_compare")
    page = support.get(compare, {"old": second, "new": first})
    # The older one stands left, however they were chosen.
    assert "From Version 1 to Version 2" in text_of(page)
    assert "within <del>14</del> <ins>30</ins> days" in page.content.decode()
    assert "4 columns alike" in text_of(page)
    assert "secret changed; masked" in text_of(support.get(compare, {"old": first, "new": third}))
    assert "Nothing differs" in text_of(support.get(compare, {"old": first, "new": first}))
    for nonsense in ({}, {"old": first}, {"old": "x", "new": first}, {"old": "9" * 40}):
        assert support.get(compare, nonsense).status_code == 404
    unknown = support.get(compare, {"old": first, "new": 999_999_999}, follow=True)
    assert "no version with sequence 999999999" in text_of(unknown)


def test_as_it_was_at_a_moment(notes: TrackedTable, execute: Execute, support: Client) -> None:
    execute("INSERT INTO app.notes VALUES ('n', 'Now')")
    page = record_url(notes, "n")
    later = support.get(page, {"at": f"{timezone.now().year + 1}-01-01T00:00"})
    assert "Version 1 id n title Now" in text_of(later)
    before = support.get(page, {"at": "2001-01-01T00:00"})
    assert "On 1 Jan 2001, 00:00 UTC it was not recorded yet" in text_of(before)
    assert "Enter a valid date/time" in text_of(support.get(page, {"at": "yesterday"}))


def test_support_restores_a_version_and_that_is_a_new_one(
    notes: TrackedTable, execute: Execute, support: Client
) -> None:
    execute("INSERT INTO app.notes VALUES ('n', 'First', 'b', 's', 'm')")
    execute("UPDATE app.notes SET title = 'Second'")
    address = f"{record_url(notes, 'n', 'record_restore')}?version={seqs(notes, 'n')[0]}"
    shown = text_of(support.get(address))
    assert "Restore version 1?" in shown
    assert "title Second → First" in shown
    assert '"secret"' not in shown
    assert "secret is masked" in shown
    assert execute("SELECT title FROM app.notes") == [("Second",)]
    assert "This field is required" in text_of(support.post(address, {"reason": " "}))
    done = support.post(address, {"reason": "She asked."}, follow=True)
    assert "is what it was in version 1" in text_of(done)
    assert "3 versions" in text_of(done)
    assert "She asked." in text_of(done)
    assert execute("SELECT title, secret FROM app.notes") == [("First", "s")]
    assert "nothing would change" in text_of(support.get(address))


def test_a_deleted_record_comes_back_unless_something_is_in_its_way(
    notes: TrackedTable, execute: Execute, support: Client
) -> None:
    execute("INSERT INTO app.notes VALUES ('n', 'First', 'b', 's', 'm@example.org')")
    execute("DELETE FROM app.notes")
    execute("INSERT INTO app.notes VALUES ('o', 'Other', 'b', 's', 'm@example.org')")
    address = f"{record_url(notes, 'n', 'record_restore')}?version={seqs(notes, 'n')[1]}"
    blocked = support.get(address)
    assert "In the way" in text_of(blocked)
    assert "notes_mail_key" in text_of(blocked)
    assert 'name="reason"' not in blocked.content.decode()
    refused = support.post(address, {"reason": "all the same"}, follow=True)
    assert "cannot be restored" in text_of(refused)
    assert execute("SELECT id FROM app.notes") == [("o",)]
    execute("DELETE FROM app.notes WHERE id = 'o'")
    done = text_of(support.post(address, {"reason": "Wrongly deleted."}, follow=True))
    assert "The record is back in version 2" in done
    assert execute("SELECT id, title, mail FROM app.notes") == [("n", "First", "m@example.org")]


def test_a_version_gets_a_name_and_loses_it(
    notes: TrackedTable, execute: Execute, support: Client
) -> None:
    execute("INSERT INTO app.notes VALUES ('n', 'First')")
    (seq,) = seqs(notes, "n")
    address = f"{record_url(notes, 'n', 'record_note')}?version={seq}"
    given = {"name": "as signed", "comment": "On <paper>."}
    done = text_of(support.post(address, given, follow=True))
    assert "Version 1, as signed" in done
    assert "On <paper>." in done
    note = VersionNote.objects.get()
    assert (note.record_id, note.seq, note.author.username) == ("n", seq, "sue")
    assert 'value="as signed"' in support.get(address).content.decode()
    text_of(support.post(address, {"name": "", "comment": " "}, follow=True))
    assert not VersionNote.objects.exists()
    assert support.get(record_url(notes, "n", "record_note")).status_code == 404


def test_a_record_is_found_by_its_key(
    notes: TrackedTable, execute: Execute, support: Client
) -> None:
    execute("INSERT INTO app.notes VALUES ('a/b', 'First')")
    find = "/admin/auditing/trackedtable/find/key/"
    found = support.get(find, {"table": notes.pk, "key": "a/b"})
    assert (found.status_code, found["Location"]) == (302, record_url(notes, "a/b"))
    assert "No version is kept" in text_of(support.get(find, {"table": notes.pk, "key": "zz"}))
    assert "Select a valid choice" in text_of(support.get(find, {"table": 0, "key": "a"}))


def test_who_only_looks_is_offered_nothing_to_change(notes: TrackedTable, execute: Execute) -> None:
    execute("INSERT INTO app.notes VALUES ('n', 'First')")
    execute("UPDATE app.notes SET title = 'Second'")
    auditor = signed_in(somebody("paul", role="auditor"))
    page = auditor.get(record_url(notes, "n")).content.decode()
    assert "First" in page
    assert "/restore/" not in page
    assert "/note/" not in page

"""A search through the rows of the bin: all that fits, once each, by windows, within its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from operations.catalogue.types import TableName
from retention.models import Deletion
from retention.selectors import deletion_page, deletion_windows
from retention.selectors.deletion_page import deletions_page
from retention.selectors.deletion_search import Found, deletion_search
from retention.selectors.deletion_windows import Look
from retention.selectors.deletions import DeletionFilter
from retention.selectors.preview_budget import Budget, TooSlow
from retention.selectors.remembered import Remembered

from .softdeleting import app, enable, soft_delete

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]
ANY = DeletionFilter()


@pytest.fixture
def deleted(execute: Execute) -> list[int]:
    """25 people, each in a deletion of its own, and 3 notes; newest first."""
    execute(
        "CREATE TABLE app.people (id int PRIMARY KEY, name text, note text, data jsonb);"
        " CREATE TABLE app.notes (id int PRIMARY KEY, title text);"
        " INSERT INTO app.people SELECT n, 'Person ' || n, 'of the choir', '{\"shoe\": 44}'"
        " FROM generate_series(1, 30) n;"
        " INSERT INTO app.notes SELECT n, 'For person ' || n FROM generate_series(1, 3) n"
    )
    enable("people")
    enable("notes")
    made = [soft_delete("people", key).pk for key in range(1, 11)]
    made.append(soft_delete("notes", 1, 2, 3).pk)
    made += [soft_delete("people", key).pk for key in range(11, 26)]
    return made[::-1]


def search(text: str, asked: DeletionFilter = ANY, **more: Any) -> Found:
    remembered = Remembered.read(text)
    assert remembered is not None
    return deletion_search(remembered, asked, rows=True, **more)


def numbers(found: Found) -> list[int]:
    return [each.pk for each in found.deletions]


def pages(text: str, asked: DeletionFilter = ANY, *, size: int) -> list[int]:
    seen: list[int] = []
    before: int | None = None
    while True:
        found = search(text, asked, before=before, size=size)
        seen += numbers(found)
        if found.older is None:
            return seen
        assert before is None or found.older < before, "each page goes on from the last"
        before = found.older


@pytest.mark.parametrize("window", [3, 20_000])
def test_page_by_page_each_is_found_once(
    deleted: list[int], window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion_windows, "WINDOW", window)
    assert pages("person", size=7) == deleted
    assert pages("person 2", size=4) == [
        each.pk
        for each in Deletion.objects.order_by("-pk")
        if each.table_name == "notes" or "2" in each.record_id
    ]


def test_all_its_words_stand_in_one_row_and_text_that_is_not_readable_comes_last(
    deleted: list[int],
) -> None:
    person = [each for each in deleted if Deletion.objects.get(pk=each).table_name == "people"]
    assert pages("choir person", size=50) == person
    assert numbers(search('"shoe": 44')) == person
    assert numbers(search("choir notes")) == []


def test_filters_are_kept_to_on_every_page(deleted: list[int]) -> None:
    notes = [each.pk for each in Deletion.objects.filter(table_name="notes")]
    assert pages("person", DeletionFilter(table=app("notes")), size=1) == notes
    assert pages("person", DeletionFilter(state="restored"), size=1) == []
    assert pages("person", DeletionFilter(actor="nobody"), size=1) == []
    assert pages("person", DeletionFilter(table=TableName("x", "y")), size=1) == []


@pytest.mark.parametrize("steps", [2, 6], ids=["one table is through", "both are not"])
def test_what_there_was_no_time_for_is_named_and_comes_with_the_next_page(
    deleted: list[int], monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(deletion_windows, "WINDOW", 5)
    step, left = Look.step, [3]

    def impatient(look: Look, budget: Budget, **more: Any) -> None:
        if left[0] == 0:
            raise TooSlow
        left[0] -= 1
        step(look, budget, **more)

    monkeypatch.setattr(Look, "step", impatient)
    seen: list[int] = []
    before: int | None = None
    for _ in range(20):
        left[0] = steps
        found = search("person", before=before, size=50)
        seen += numbers(found)
        if found.older is None:
            break
        assert found.unfinished
        assert found.looked_back_to is not None
        before = found.older
    assert seen == deleted
    left[0] = 0
    nothing = search("person")
    assert (nothing.deletions, nothing.older) == ([], None)
    assert nothing.unfinished == (app("notes"), app("people"))


def test_the_list_itself_is_paged_in_the_order_of_time(deleted: list[int]) -> None:
    first = deletions_page(ANY, size=10)
    second = deletions_page(ANY, before=first.older, size=10)
    third = deletions_page(ANY, before=second.older, size=10)
    assert [each.pk for page in (first, second, third) for each in page.deletions] == deleted
    assert third.older is None


def test_what_is_rare_is_looked_for_a_stretch_at_a_time(
    deleted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion_page, "LOOKED_AT", 10)
    asked = DeletionFilter(table=app("notes"))
    pages = [deletions_page(asked)]
    while (before := pages[-1].older) is not None:
        pages.append(deletions_page(asked, before=before))
    assert [len(page.deletions) for page in pages] == [0, 1, 0]
    at = Deletion.objects.get(pk=deleted[9]).deleted_at
    assert (pages[0].older, pages[0].looked_back_to) == (deleted[9], at)
    assert pages[-1].looked_back_to is None

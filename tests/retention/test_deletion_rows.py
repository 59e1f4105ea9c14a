"""The rows of a deletion a page at a time: each once, in the order of the key's own type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from operations.catalogue.read import table as read_table
from retention.models import Deletion
from retention.selectors.deletion_rows import deletion_rows

from .softdeleting import app, enable, soft_delete

pytestmark = [pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]


def pages(deletion: Deletion, name: str, size: int) -> list[list[str]]:
    found: list[list[str]] = []
    after = ""
    while True:
        page = deletion_rows(deletion, read_table(app(name)), after=after, size=size)
        assert page.problem == ""
        found.append([row.record_id for row in page.rows])
        if not page.after:
            return found
        after = page.after


def test_numbers_are_in_the_order_of_numbers(execute: Execute) -> None:
    execute(
        "CREATE TABLE app.people (id int PRIMARY KEY, name text);"
        "INSERT INTO app.people SELECT n, 'Person ' || n FROM generate_series(1, 13) n"
    )
    enable("people")
    deletion = soft_delete("people", *range(1, 13))
    assert pages(deletion, "people", 4) == [
        ["1", "2", "3", "4"],
        ["5", "6", "7", "8"],
        ["9", "10", "11", "12"],
    ]
    assert pages(deletion, "people", 20) == [[str(number) for number in range(1, 13)]]


def test_a_key_of_several_columns_goes_on_within_its_first(execute: Execute) -> None:
    execute(
        "CREATE TABLE app.seats (hall text, seat int, PRIMARY KEY (hall, seat));"
        "INSERT INTO app.seats SELECT h, n FROM unnest(ARRAY['a, \"b', 'c']) h,"
        " generate_series(9, 11) n"
    )
    enable("seats")
    halls = [(hall, str(seat)) for hall in ('a, "b', "c") for seat in (9, 10, 11)]
    deletion = soft_delete("seats", *halls)
    found = pages(deletion, "seats", 2)
    assert [len(page) for page in found] == [2, 2, 2]
    assert [record for page in found for record in page] == [
        '["a, \\"b","9"]',
        '["a, \\"b","10"]',
        '["a, \\"b","11"]',
        '["c","9"]',
        '["c","10"]',
        '["c","11"]',
    ]


def test_what_became_of_the_table_is_told_and_not_raised(execute: Execute) -> None:
    execute("CREATE TABLE app.people (id int PRIMARY KEY, name text)")
    execute("INSERT INTO app.people VALUES (1, 'Ada')")
    enable("people")
    deletion = soft_delete("people", 1)
    table = read_table(app("people"))
    problem = deletion_rows(deletion, table, after="x").problem
    assert problem == 'invalid input syntax for type integer: "x"'
    execute("DROP VIEW app.active_people; ALTER TABLE app.people DROP CONSTRAINT people_pkey")
    assert "has no key" in deletion_rows(deletion, read_table(app("people"))).problem
    execute("ALTER TABLE app.people DROP COLUMN deletion_id CASCADE")
    gone = deletion_rows(deletion, read_table(app("people")))
    assert (gone.rows, gone.problem) == ((), "The table has no soft delete any more.")

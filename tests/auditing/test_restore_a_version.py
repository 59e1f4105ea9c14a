"""Putting a version back, and what stands in its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from auditing.exceptions import RestoreRefused
from auditing.models import TrackedTable
from auditing.selectors.versions import versions_of
from auditing.services.record_restore import Difference, record_restore
from auditing.services.sync import table_sync
from auditing.services.track import TrackTerms, table_track

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def items(governed: str, execute: Execute, person: User) -> TrackedTable:
    execute("CREATE TABLE app.shelf (id int PRIMARY KEY)")
    execute("INSERT INTO app.shelf VALUES (1), (2)")
    execute("CREATE TYPE app.state AS ENUM ('new', 'old')")
    execute(
        "CREATE TABLE app.item (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
        " name text UNIQUE, shelf int REFERENCES app.shelf, price numeric(8,2) CHECK (price < 100),"
        " state app.state, secret text DEFAULT 'unknown', noise text DEFAULT 'quiet',"
        " twice numeric GENERATED ALWAYS AS (price * 2) STORED)"
    )
    terms = TrackTerms(mask=["secret"], exclude=["noise"])
    table = table_track("app.item", actor=person, reason="", terms=terms)
    execute(
        "INSERT INTO app.item (name, shelf, price, state, secret, noise)"
        " VALUES ('pen', 1, 2, 'new', 's', 'n'), ('ink', 2, 3.5, 'old', 's', 'n')"
    )
    return table


def row(execute: Execute, number: int) -> list[tuple[Any, ...]]:
    return execute(
        "SELECT id, name, shelf, price::text, state::text, secret, noise FROM app.item"
        " WHERE id = %s",
        [number],
    )


def test_a_version_is_put_back(items: TrackedTable, execute: Execute, person: User) -> None:
    execute(
        "UPDATE app.item SET name = 'pencil', price = 9, secret = 't', noise = 'm', shelf = 2"
        " WHERE id = 1"
    )

    rehearsed = record_restore(
        tracked=items, record_id="1", number=1, actor=person, reason="a slip", dry_run=True
    )
    assert row(execute, 1) == [(1, "pencil", 2, "9.00", "new", "t", "m")]
    restored = record_restore(tracked=items, record_id="1", number=1, actor=person, reason="a slip")

    assert (
        rehearsed.differences
        == restored.differences
        == (
            Difference("name", "pencil", "pen"),
            Difference("shelf", "2", "1"),
            Difference("price", "9.00", "2.00"),
        )
    )
    # What is not kept stays what it is.
    assert row(execute, 1) == [(1, "pen", 1, "2.00", "new", "t", "m")]
    assert restored.notes == (
        "secret is masked, so its value is not kept: it stays what it is.",
        "noise is not audited: it stays what it is.",
    )
    page = versions_of(items, "1")
    assert page.total == 3
    assert page.versions[0].seq == restored.new_seq
    again = record_restore(tracked=items, record_id="1", number=1, actor=person)
    assert (again.action, again.new_seq) == ("nothing", None)


def test_a_deleted_row_comes_back(items: TrackedTable, execute: Execute, person: User) -> None:
    execute("DELETE FROM app.item WHERE id = 2")
    execute("ALTER TABLE app.item ADD colour text DEFAULT 'blue'")
    table_sync(items, actor=person)

    restored = record_restore(tracked=items, record_id="2", number=2, actor=person)

    assert restored.action == "insert"
    assert row(execute, 2) == [(2, "ink", 2, "3.50", "old", "unknown", "quiet")]
    assert execute("SELECT twice::text, colour FROM app.item WHERE id = 2") == [("7.00", "blue")]
    assert "colour was not there yet: it gets its default." in restored.notes


@pytest.mark.parametrize(
    ("meanwhile", "told"),
    [
        (
            "UPDATE app.item SET name = CASE id WHEN 1 THEN 'x' ELSE 'pen' END",
            "the row 2 of app.item has its place under the constraint item_name_key: (name)=(pen)",
        ),
        (
            "UPDATE app.item SET shelf = 2 WHERE id = 1; DELETE FROM app.shelf WHERE id = 1",
            "the row of app.shelf that it refers to is missing (the constraint item_shelf_fkey)",
        ),
        (
            "UPDATE app.item SET price = 1; ALTER TABLE app.item ADD CHECK (price < 2)",
            "it breaks the check item_price_check1",
        ),
        (
            "UPDATE app.item SET state = 'old'; ALTER TYPE app.state RENAME VALUE 'new' TO 'fresh'",
            "its state was 'new', which does not fit: the column is app.state now",
        ),
        (
            "ALTER TABLE app.item ALTER name TYPE varchar(2) USING left(name, 1)",
            "its name was 'pen', which does not fit: the column is character varying(2) now",
        ),
    ],
)
def test_what_is_in_the_way_is_named(
    items: TrackedTable, execute: Execute, person: User, meanwhile: str, told: str
) -> None:
    execute(meanwhile)
    before = row(execute, 1)

    rehearsed = record_restore(tracked=items, record_id="1", number=1, actor=person, dry_run=True)
    with pytest.raises(RestoreRefused) as refused:
        record_restore(tracked=items, record_id="1", number=1, actor=person)

    assert [each.why.startswith(told) for each in rehearsed.obstacles] == [True]
    why = rehearsed.obstacles[0].why
    assert str(refused.value) == (
        f"Version 1 of app.item 1 cannot be restored: {why}. Nothing was changed."
    )
    assert row(execute, 1) == before


def test_a_changed_type(items: TrackedTable, execute: Execute, person: User) -> None:
    execute("ALTER TABLE app.item DROP twice")
    execute("ALTER TABLE app.item ALTER price TYPE int, ALTER name TYPE varchar(20)")
    table_sync(items, actor=person)
    execute("UPDATE app.item SET price = 50, name = 'n' || id")

    restored = record_restore(tracked=items, record_id="1", number=1, actor=person)
    assert restored.differences == (
        Difference("name", "n1", "pen"),
        Difference("price", "50", "2"),
    )
    with pytest.raises(RestoreRefused, match=r"its price was '3\.50', which does not fit"):
        record_restore(tracked=items, record_id="2", number=1, actor=person)


def test_a_trigger_with_a_mind_of_its_own(
    items: TrackedTable, execute: Execute, person: User
) -> None:
    execute("UPDATE app.item SET name = 'x' WHERE id = 1")
    execute(
        "CREATE FUNCTION app.own() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.id = 2 THEN RETURN NULL; END IF; NEW.name := 'mine'; RETURN NEW; END $$"
    )
    execute("CREATE TRIGGER own BEFORE UPDATE ON app.item FOR EACH ROW EXECUTE FUNCTION app.own()")
    restored = record_restore(tracked=items, record_id="1", number=1, actor=person)
    assert "A trigger of the table made name something else." in restored.notes
    execute("ALTER TABLE app.item DISABLE TRIGGER own")
    execute("UPDATE app.item SET name = 'y' WHERE id = 2")
    execute("ALTER TABLE app.item ENABLE TRIGGER own")
    with pytest.raises(RestoreRefused, match="a trigger of the table left it out"):
        record_restore(tracked=items, record_id="2", number=1, actor=person)

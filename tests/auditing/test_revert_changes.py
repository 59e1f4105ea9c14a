"""Reverting a statement or a transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from auditing.exceptions import NoSuchChange, RestoreRefused
from auditing.models import ChangeStatement
from auditing.selectors.tracked import tracked_get
from auditing.selectors.versions import versions_of
from auditing.services import revert_plan
from auditing.services.change_revert import change_revert, revert_request, reverted_so_far
from auditing.services.revert_plan import Chosen
from auditing.services.revert_rehearse import revert_rehearse
from auditing.services.statement_summarise import statement_summarise
from auditing.services.track import TrackTerms, table_track
from operations.services.run_execute import run_execute
from tests.approving import approve

pytestmark = pytest.mark.django_db(transaction=True)
Execute = Callable[..., list[tuple[Any, ...]]]
ITEMS = "SELECT id, shelf, name, price::text, secret FROM app.item ORDER BY id"
SHELVES = "SELECT id, part_of FROM app.shelf ORDER BY id"


@pytest.fixture
def shop(governed: str, execute: Execute, person: User) -> None:
    execute("CREATE TABLE app.shelf (id int PRIMARY KEY, part_of int REFERENCES app.shelf)")
    execute(
        "CREATE TABLE app.item (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
        " shelf int REFERENCES app.shelf ON DELETE CASCADE ON UPDATE CASCADE, name text UNIQUE,"
        " price numeric(8,2), secret text DEFAULT 'unknown',"
        " twice numeric GENERATED ALWAYS AS (price * 2) STORED)"
    )
    table_track("app.shelf", actor=person, reason="")
    table_track("app.item", actor=person, reason="", terms=TrackTerms(mask=["secret"]))
    execute("INSERT INTO app.shelf VALUES (1), (2), (3)")
    execute(
        "INSERT INTO app.item (shelf, name, price, secret)"
        " SELECT 1 + n % 2, 'item ' || n, n, 's' FROM generate_series(1, 6) n"
    )


def last(table: str = "item") -> ChangeStatement:
    statement_summarise()
    return ChangeStatement.objects.filter(tracked__table_name=table).latest("id")


def counts(found: dict[str, Any]) -> tuple[int, int, int]:
    return found["reverted"], found["already"], found["conflict_count"]


def reverted(person: User, chosen: Chosen) -> dict[str, Any]:
    """What the rehearsal says is what the revert does."""
    rehearsed = revert_rehearse(chosen=chosen, actor=person)
    run = change_revert(chosen=chosen, requester=person, reason="a slip")
    assert run.state == "succeeded", run.error
    assert (counts(run.result), run.result["conflicts"]) == (
        counts(rehearsed),
        rehearsed["conflicts"],
    )
    return dict(run.result)


@pytest.mark.sql
def test_an_update_is_reverted_and_later_changes_stay(
    shop: None, execute: Execute, person: User
) -> None:
    before = execute(ITEMS)
    execute("UPDATE app.item SET price = price + 100, secret = 't' WHERE id <= 4")
    statement = last()
    execute("UPDATE app.item SET price = 7 WHERE id = 1")
    execute("UPDATE app.item SET name = 'other' WHERE id = 2")
    execute("DELETE FROM app.item WHERE id = 3")

    result = reverted(person, Chosen(statement=statement.pk))

    assert counts(result) == (2, 0, 2)
    assert {(c["record_id"], c["why"]) for c in result["conflicts"]} == {
        ("1", "changed since: price"),
        ("3", "there is no such row any more"),
    }
    # The name that somebody gave it since is not touched; what was masked is not known.
    assert execute(ITEMS) == [
        (1, 2, "item 1", "7.00", "t"),
        (2, 1, "other", "2.00", "t"),
        (4, 1, "item 4", "4.00", "t"),
        *before[4:],
    ]
    version = versions_of(tracked_get("app.item"), "2").versions[0]
    assert (version.actor, version.context and version.context.reason) == (
        "console:ada",
        "a slip",
    )
    again = reverted(person, Chosen(statement=statement.pk))
    assert counts(again) == (0, 2, 2)


def test_an_insert_and_a_delete_are_reverted(shop: None, execute: Execute, person: User) -> None:
    before = execute(ITEMS)
    execute("INSERT INTO app.item (name, price) VALUES ('x', 1), ('y', 2)")
    inserted = last()
    execute("UPDATE app.item SET price = 3 WHERE name = 'y'")
    execute("DELETE FROM app.item WHERE id IN (1, 2, 5)")
    deleted = last()
    execute("INSERT INTO app.item (id, name) OVERRIDING SYSTEM VALUE VALUES (2, 'new')")
    execute("UPDATE app.item SET name = 'item 5' WHERE id = 3")

    gone = reverted(person, Chosen(statement=inserted.pk))
    back = reverted(person, Chosen(statement=deleted.pk))

    assert counts(gone) == (1, 0, 1)
    assert gone["conflicts"][0]["why"] == "changed since: price"
    assert counts(back) == (1, 0, 2)
    assert sorted(each["why"] for each in back["conflicts"]) == [
        "the row 3 of app.item has its place under the constraint item_name_key: (name)=(item 5)",
        "there is a row with its key again, which differs in: shelf, name, price",
    ]
    assert execute(ITEMS)[0] == (1, 2, "item 1", "1.00", "unknown")
    assert before[0][:4] == execute(ITEMS)[0][:4]


def test_a_transaction_is_reverted_in_the_order_of_its_references(
    shop: None, execute: Execute, person: User
) -> None:
    before = execute(SHELVES), [row[:4] for row in execute(ITEMS)]
    with transaction.atomic():
        execute("INSERT INTO app.shelf VALUES (9, 1), (10, 9)")
        execute("INSERT INTO app.item (shelf, name) VALUES (10, 'fresh')")
        execute("UPDATE app.item SET price = 50 WHERE id = 1")
        execute("UPDATE app.item SET price = 60 WHERE id = 1")
        execute("UPDATE app.shelf SET id = 20 WHERE id = 2")
        execute("DELETE FROM app.shelf WHERE id = 20")
        execute("DELETE FROM app.item WHERE id = 2")
    statement = last()

    result = reverted(person, Chosen(transaction=statement.xid))

    assert result["conflicts"] == []
    assert (execute(SHELVES), [row[:4] for row in execute(ITEMS)]) == before


def test_rows_that_wait_for_their_parents(
    shop: None, execute: Execute, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tree that was deleted at once comes back, in whatever order its rows went."""
    execute("DELETE FROM app.item")
    execute("INSERT INTO app.shelf SELECT n, n - 1 FROM generate_series(4, 40) n")
    execute("INSERT INTO app.shelf VALUES (50, 41 - 1), (45, 50)")
    before = execute(SHELVES)
    execute("DELETE FROM app.shelf")
    statement = last("shelf")
    monkeypatch.setattr("auditing.services.change_revert._SIZE", (3, 1, 3))

    run = change_revert(chosen=Chosen(statement=statement.pk), requester=person)

    assert (run.state, counts(run.result)) == ("succeeded", (42, 0, 0))
    assert execute(SHELVES) == before


@pytest.mark.sql
def test_truncated_rows_come_back(shop: None, execute: Execute, person: User) -> None:
    before = [row[:4] for row in execute(ITEMS)]
    execute("TRUNCATE app.item")
    result = reverted(person, Chosen(statement=last().pk))
    assert counts(result) == (6, 0, 0)
    assert [row[:4] for row in execute(ITEMS)] == before


def test_many_rows_want_another_person(
    shop: None, execute: Execute, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revert_plan, "ALONE", 5)
    execute("UPDATE app.item SET price = 0")
    chosen = Chosen(statement=last().pk)
    run = change_revert(chosen=chosen, requester=person)
    assert run.state == "awaiting_approval"
    assert run.approval_reason == (
        "It would put back up to 6 rows of app.item at once; above 5 another person approves."
    )
    assert execute("SELECT DISTINCT price::text FROM app.item") == [("0.00",)]
    approve(run)
    done = change_revert(chosen=chosen, requester=person)
    assert (done.pk, done.state, counts(done.result)) == (run.pk, "succeeded", (6, 0, 0))
    assert execute("SELECT sum(price)::text FROM app.item") == [("21.00",)]


def test_what_is_not_there_is_told(shop: None, person: User) -> None:
    with pytest.raises(NoSuchChange, match="no statement 999999"):
        change_revert(chosen=Chosen(statement=999999), requester=person)


def test_a_revert_that_was_stopped_goes_on_where_it_was(
    shop: None, execute: Execute, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditing.services.change_revert._SIZE", (2, 1, 2))
    monkeypatch.setattr("auditing.services.change_revert.AGAIN_SECONDS", 0.0001)
    before = execute("SELECT id, price FROM app.item ORDER BY id")
    execute("UPDATE app.item SET price = price * 2")
    chosen = Chosen(statement=last().pk)
    run = revert_request(chosen=chosen, requester=person, using="default")
    asked = iter([False, True])
    stopped = run_execute(run_id=run.pk, stop_asked=lambda: next(asked))
    assert (stopped.state, counts(reverted_so_far(stopped))) == ("queued", (2, 0, 0))
    assert sum(row in before for row in execute("SELECT id, price FROM app.item")) == 2

    done = change_revert(chosen=chosen, requester=person)

    assert (done.pk, counts(done.result)) == (run.pk, (6, 0, 0))
    assert execute("SELECT id, price FROM app.item ORDER BY id") == before


def test_a_partitioned_table_and_changed_keys(
    governed: str, execute: Execute, person: User
) -> None:
    execute(
        "CREATE TABLE app.log (id int, day date, note text, PRIMARY KEY (id, day))"
        " PARTITION BY RANGE (day)"
    )
    for year in (2024, 2025):
        execute(
            f"CREATE TABLE app.log_{year} PARTITION OF app.log"
            f" FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01')"
        )
    table_track("app.log", actor=person, reason="")
    execute("INSERT INTO app.log SELECT n, '2024-05-05', 'n' FROM generate_series(1, 5) n")
    rows = "SELECT id, day::text, note FROM app.log ORDER BY id, day"
    before = execute(rows)
    execute("UPDATE app.log SET day = '2025-05-05', id = id + 1, note = 'moved' WHERE id > 2")
    moved = last("log")
    after = execute(rows)
    execute("DELETE FROM app.log_2025 WHERE id = 4")

    gone = reverted(person, Chosen(statement=last("log").pk))
    assert (counts(gone), execute(rows)) == ((1, 0, 0), after)
    back = reverted(person, Chosen(statement=moved.pk))
    assert (counts(back), execute(rows)) == ((3, 0, 0), before)
    assert counts(reverted(person, Chosen(statement=moved.pk))) == (0, 3, 0)


def test_a_table_that_wants_reasons(governed: str, execute: Execute, person: User) -> None:
    execute("CREATE TABLE app.strict (id int PRIMARY KEY, a int)")
    table_track("app.strict", actor=person, reason="", terms=TrackTerms(reason_required=True))
    with transaction.atomic():
        execute("SELECT custody.set_context(reason => 'why not')")
        execute("INSERT INTO app.strict VALUES (1, 1)")
    chosen = Chosen(statement=last("strict").pk)
    with pytest.raises(RestoreRefused, match="need a reason"):
        change_revert(chosen=chosen, requester=person)
    assert counts(reverted(person, chosen)) == (1, 0, 0)
    assert execute("SELECT * FROM app.strict") == []

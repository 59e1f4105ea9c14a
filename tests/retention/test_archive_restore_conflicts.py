"""What stands in the way of a row is named, never overwritten, and keeps no other row waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from retention.models import Archive
from retention.services import archive_restore

from .archiving import OLD, archive_of, counts, reasons, restore
from .purging import live

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]

PEOPLE = """
CREATE TABLE app.people (
    id int PRIMARY KEY, created_at timestamptz, email text, name text, points int, note json
)
"""


@pytest.fixture
def people(execute: Execute) -> Archive:
    """200 people in the archive, none in the table."""
    execute(PEOPLE)
    execute(
        f"INSERT INTO app.people SELECT n, {OLD}, 'p' || n || '@example.org', 'Person ' || n,"
        " n, '{\"n\": 1}' FROM generate_series(1, 200) n"
    )
    return archive_of("people")


def test_a_row_that_is_there_and_differs_is_kept_and_its_columns_are_named(
    execute: Execute, people: Archive
) -> None:
    execute(f"INSERT INTO app.people VALUES (5, {OLD}, 'new@example.org', 'Person 5', 5, '{{}}')")
    execute(f"INSERT INTO app.people VALUES (6, {OLD}, 'p6@example.org', 'Person 6', 6, NULL)")
    mine = live("app.people")
    code, document = restore(people)
    assert (code, counts(document)) == (3, (198, 0, 2))
    assert reasons(document) == {
        "5": "is there already and differs in: email, note",
        "6": "is there already and differs in: note",
    }
    assert live("app.people") >= mine
    assert "example.org" not in str(document["conflicts"])


def test_a_key_of_two_columns_is_told_as_json(execute: Execute) -> None:
    execute("CREATE TABLE app.t (a int, b text, created_at timestamptz, PRIMARY KEY (b, a))")
    execute(f"INSERT INTO app.t VALUES (1, 'x\"y', {OLD})")
    archive = archive_of("t")
    execute("INSERT INTO app.t VALUES (1, 'x\"y', now())")
    code, document = restore(archive)
    assert (code, list(reasons(document))) == (3, ['["x\\"y","1"]'])


@pytest.mark.parametrize(
    ("index", "taken"),
    [
        ("UNIQUE INDEX taken ON app.people (email)", "p7@example.org"),
        ("UNIQUE INDEX taken ON app.people (lower(email))", "P7@EXAMPLE.ORG"),
        ("UNIQUE INDEX taken ON app.people (email) WHERE points > 0", "p7@example.org"),
    ],
    ids=["columns", "expression", "partial"],
)
def test_another_row_under_a_unique_index_is_a_conflict(
    execute: Execute, people: Archive, index: str, taken: str
) -> None:
    execute(f"CREATE {index}")
    execute("INSERT INTO app.people VALUES (1000, now(), %s, 'other', 1)", [taken])
    code, document = restore(people)
    assert (code, counts(document)) == (3, (199, 0, 1))
    assert reasons(document) == {"7": "another row has taken its place under taken"}


def test_a_deferrable_unique_constraint_is_a_conflict_too(
    execute: Execute, people: Archive
) -> None:
    execute(
        "ALTER TABLE app.people ADD CONSTRAINT later UNIQUE (email) DEFERRABLE INITIALLY DEFERRED"
    )
    execute("INSERT INTO app.people VALUES (1000, now(), 'p7@example.org', 'other', 1)")
    code, document = restore(people)
    assert (code, counts(document)) == (3, (199, 0, 1))
    assert reasons(document) == {"7": "another row has taken its place under later"}


def test_an_exclusion_constraint_is_a_conflict(execute: Execute, people: Archive) -> None:
    execute(
        "ALTER TABLE app.people ADD CONSTRAINT apart"
        " EXCLUDE USING gist (int4range(points, points + 3) WITH &&) WHERE (id > 190)"
    )
    code, document = restore(people)
    # 191 excludes 192 and 193, and so on.
    assert (code, counts(document)) == (3, (194, 0, 6))
    assert set(reasons(document).values()) == {"another row excludes it under apart"}


@pytest.mark.parametrize("timing", ["", "DEFERRABLE INITIALLY DEFERRED"])
def test_a_missing_parent_is_named_and_the_others_go_back(
    execute: Execute, people: Archive, timing: str
) -> None:
    execute("CREATE TABLE app.teams (no bigint PRIMARY KEY)")
    execute("INSERT INTO app.teams SELECT generate_series(1, 150)")
    execute(
        "ALTER TABLE app.people ADD CONSTRAINT in_team FOREIGN KEY (points)"
        f" REFERENCES app.teams {timing}"
    )
    code, document = restore(people)
    assert (code, counts(document)) == (3, (150, 0, 50))
    assert set(reasons(document).values()) == {
        "the row of app.teams that it refers to is missing (in_team)"
    }
    execute("INSERT INTO app.teams SELECT generate_series(151, 200)")
    code, document = restore(people)
    assert (code, counts(document)) == (0, (50, 150, 0))


def test_only_a_whole_reference_needs_a_parent(execute: Execute) -> None:
    execute("CREATE TABLE app.places (x int, y int, PRIMARY KEY (x, y))")
    execute(
        "CREATE TABLE app.t (id int PRIMARY KEY, x int, y int, created_at timestamptz,"
        " CONSTRAINT at FOREIGN KEY (y, x) REFERENCES app.places (y, x))"
    )
    execute("INSERT INTO app.places VALUES (1, 2)")
    execute(f"INSERT INTO app.t VALUES (1, 1, 2, {OLD}), (2, 9, NULL, {OLD})")
    archive = archive_of("t")
    execute("DELETE FROM app.places")
    code, document = restore(archive)
    assert (code, counts(document)) == (3, (1, 0, 1))
    assert reasons(document) == {"1": "the row of app.places that it refers to is missing (at)"}


def test_rules_that_came_later_are_named(execute: Execute, people: Archive) -> None:
    execute("ALTER TABLE app.people ADD CONSTRAINT sane CHECK (points <> 9)")
    execute("UPDATE app.people SET name = NULL")
    execute("INSERT INTO app.people VALUES (400, now(), 'x', 'y', 1, '{}')")
    execute("CREATE DOMAIN app.low AS int CONSTRAINT low_enough CHECK (VALUE < 199)")
    execute("ALTER TABLE app.people ALTER points TYPE app.low")
    code, document = restore(people)
    assert (code, counts(document)) == (3, (197, 0, 3))
    assert reasons(document) == {
        "9": "it breaks sane",
        "199": "a value breaks low_enough of the type low",
        "200": "a value breaks low_enough of the type low",
    }


def test_null_where_it_is_forbidden_now_is_named(execute: Execute) -> None:
    execute("CREATE TABLE app.t (id int PRIMARY KEY, name text, created_at timestamptz)")
    execute(f"INSERT INTO app.t VALUES (1, NULL, {OLD}), (2, '', {OLD})")
    archive = archive_of("t")
    execute("ALTER TABLE app.t ALTER name SET NOT NULL")
    code, document = restore(archive)
    assert (code, reasons(document)) == (
        3,
        {"1": "its name is NULL, which NOT NULL forbids now"},
    )


def test_a_value_that_is_none_any_more_is_named_by_its_column(execute: Execute) -> None:
    execute("CREATE TYPE app.mood AS ENUM ('glad', 'secret')")
    execute("CREATE TABLE app.t (id int PRIMARY KEY, mood app.mood, created_at timestamptz)")
    execute(
        "INSERT INTO app.t SELECT n, CASE WHEN n IN (3, 700) THEN 'secret' ELSE 'glad' END"
        f"::app.mood, {OLD} FROM generate_series(1, 1200) n"
    )
    archive = archive_of("t")
    execute("ALTER TYPE app.mood RENAME VALUE 'secret' TO 'open'")
    code, document = restore(archive)
    assert (code, counts(document)) == (3, (1198, 0, 2))
    why = "its mood is not a value of app.mood any more"
    assert reasons(document) == {"3": why, "700": why}
    assert "secret" not in str(document["conflicts"])
    code, document = restore(archive, dry_run=True)
    assert (code, counts(document)) == (3, (0, 1198, 2))


def test_a_hundred_conflicts_are_named_and_all_are_counted(
    execute: Execute, people: Archive
) -> None:
    execute("ALTER TABLE app.people ADD CHECK (points % 3 > 0)")
    execute("INSERT INTO app.people SELECT n, now() FROM generate_series(61, 200) n")
    code, document = restore(people)
    assert (code, counts(document)) == (3, (40, 0, 160))
    assert len(document["conflicts"]) == 100
    assert document["run"]["result"]["conflicts"] == document["conflicts"]


def test_the_applications_own_row_that_comes_in_between_is_kept(
    execute: Execute,
    people: Archive,
    other_session: Callable[[], psycopg.Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The row appears after the restore has looked, and before it inserts."""
    application = other_session()
    insert = archive_restore.RestoreWork.rows

    def rows(*args: Any) -> Any:
        found = insert(*args)
        look = found.look

        def look_and_lose(*args: Any, **kwargs: Any) -> Any:
            tally = look(*args, **kwargs)
            application.execute(
                "INSERT INTO app.people (id, name) VALUES (8, 'mine') ON CONFLICT DO NOTHING"
            )
            return tally

        found.look = look_and_lose
        return found

    monkeypatch.setattr(archive_restore.RestoreWork, "rows", rows)
    code, document = restore(people)
    assert (code, counts(document)) == (3, (199, 0, 1))
    assert reasons(document)["8"].startswith("is there already and differs in: created_at")
    assert execute("SELECT name FROM app.people WHERE id = 8") == [("mine",)]

"""A table that changed since its rows were archived takes them back, or says why it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from retention.models import Archive
from retention.services.restore_work import RestoreWork

from .archiving import OLD, archive_of, counts, reasons, restore
from .purging import live

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def archive(execute: Execute) -> Archive:
    execute("CREATE TYPE app.mood AS ENUM ('glad', 'sad')")
    execute(
        "CREATE TABLE app.t (id int PRIMARY KEY, gone int, created_at timestamptz, mood app.mood,"
        ' "Full name" varchar(20), doubled int GENERATED ALWAYS AS (id * 2) STORED)'
    )
    execute(
        f"INSERT INTO app.t (id, created_at, mood, \"Full name\") SELECT n, {OLD}, 'glad',"
        " 'Name ' || n FROM generate_series(1, 30) n"
    )
    return archive_of("t")


def refusal(archive: Archive) -> str:
    code, document = restore(archive)
    assert code == 3
    message: str = document["error"]["message"]
    return message


def test_new_columns_get_their_default(execute: Execute, archive: Archive) -> None:
    execute("ALTER TABLE app.t ADD added text DEFAULT 'none', ADD other int")
    assert restore(archive)[0] == 0
    assert execute("SELECT DISTINCT added, other FROM app.t") == [("none", None)]


def test_a_renamed_column_is_followed(execute: Execute, archive: Archive) -> None:
    execute('ALTER TABLE app.t RENAME "Full name" TO label')
    code, document = restore(archive)
    assert (code, document["run"]["plan"]["columns_renamed"]) == (0, {"Full name": "label"})
    assert execute("SELECT label FROM app.t WHERE id = 3") == [("Name 3",)]


def test_a_renamed_key_is_followed(execute: Execute, archive: Archive) -> None:
    execute("ALTER TABLE app.t RENAME id TO no")
    assert counts(restore(archive)[1]) == (30, 0, 0)
    assert counts(restore(archive)[1]) == (0, 30, 0)


def test_a_dropped_column_is_named(execute: Execute, archive: Archive) -> None:
    execute("ALTER TABLE app.t DROP gone, DROP mood")
    assert "column gone was dropped; column mood was dropped" in refusal(archive)
    assert live("app.t").total() == 0


def test_a_wider_column_takes_the_values_and_a_narrower_one_those_that_fit(
    execute: Execute, archive: Archive
) -> None:
    execute('ALTER TABLE app.t ALTER gone TYPE bigint, ALTER "Full name" TYPE varchar(6)')
    code, document = restore(archive)
    assert (code, counts(document)) == (3, (9, 0, 21))
    assert reasons(document)["10"] == 'its "Full name" does not fit: it is character varying(6) now'
    execute('ALTER TABLE app.t ALTER "Full name" TYPE text')
    code, document = restore(archive)
    assert (code, counts(document)) == (0, (21, 9, 0))


def test_a_column_of_another_sort_takes_what_comes_through_the_cast_unchanged(
    execute: Execute, archive: Archive
) -> None:
    """Each name goes through PostgreSQL's own cast, and a moment that is no midnight is no date."""
    execute("ALTER TABLE app.t DROP doubled")
    execute(
        "ALTER TABLE app.t ALTER created_at TYPE date, ALTER mood TYPE text,"
        " ALTER id TYPE numeric(3, 1)"
    )
    execute("DROP TYPE app.mood")
    code, document = restore(archive)
    assert (code, counts(document)) == (0, (30, 0, 0))
    assert execute("SELECT id::text, created_at::text, mood FROM app.t WHERE id = 7") == [
        ("7.0", "2001-02-03", "glad")
    ]
    assert counts(restore(archive)[1]) == (0, 30, 0)


def test_a_value_that_the_cast_would_change_is_a_conflict(execute: Execute) -> None:
    execute("CREATE TABLE app.n (id int PRIMARY KEY, created_at timestamptz, v text)")
    rows = ["1", "2.5", "2.25", "x", "99999999999", " 4 ", None]
    for number, text in enumerate(rows):
        execute(f"INSERT INTO app.n VALUES (%s, {OLD} + interval '1 hour', %s)", [number, text])
    archive = archive_of("n")
    execute("ALTER TABLE app.n ALTER v TYPE numeric(4, 1) USING NULL, ALTER created_at TYPE date")
    code, document = restore(archive)
    assert (code, counts(document)) == (3, (0, 0, 7))
    assert set(reasons(document).values()) == {"its created_at does not fit: it is date now"}
    execute("ALTER TABLE app.n ALTER created_at TYPE timestamp")
    code, document = restore(archive)
    assert (code, counts(document)) == (3, (4, 0, 3))
    why = "its v does not fit: it is numeric(4,1) now"
    assert reasons(document) == {"2": why, "3": why, "4": why}
    found = execute("SELECT id, v::text FROM app.n ORDER BY id")
    assert found == [(0, "1.0"), (1, "2.5"), (5, "4.0"), (6, None)]


def test_a_type_without_a_cast_is_refused(execute: Execute, archive: Archive) -> None:
    execute("ALTER TABLE app.t ALTER created_at TYPE int USING 1, ALTER mood TYPE point USING NULL")
    message = refusal(archive)
    assert "column created_at had the type timestamp with time zone and has integer now" in message
    assert "--drop-column" in message
    code, _ = restore(archive, drop_column=["created_at", "mood"])
    assert code == 0


def test_a_dropped_column_is_left_out_when_that_is_said(execute: Execute, archive: Archive) -> None:
    execute("ALTER TABLE app.t DROP gone, DROP mood")
    assert "column gone was dropped" in refusal(archive)
    code, document = restore(archive, drop_column=["gone"])
    assert (code, "column mood was dropped" in document["error"]["message"]) == (3, True)
    code, document = restore(archive, drop_column=["gone", "mood"])
    assert (code, counts(document)) == (0, (30, 0, 0))
    assert document["run"]["plan"]["columns_left_out"] == ["gone", "mood"]
    assert restore(archive, drop_column=["no such"])[0] == 2


def test_where_values_go_can_be_said(execute: Execute, archive: Archive) -> None:
    execute('ALTER TABLE app.t DROP "Full name", ADD label text, ADD other text')
    assert "was dropped" in refusal(archive)
    code, document = restore(archive, columns=["Full name=label"])
    assert (code, counts(document)) == (0, (30, 0, 0))
    assert execute("SELECT label, other FROM app.t WHERE id = 3") == [("Name 3", None)]
    for wrong in ("Full name=nothing", "nothing=label", "Full name"):
        assert restore(archive, columns=[wrong])[0] == 2


def test_a_label_that_was_renamed_is_named_and_can_be_mapped(
    execute: Execute, archive: Archive
) -> None:
    execute("ALTER TYPE app.mood RENAME VALUE 'glad' TO 'happy'")
    code, document = restore(archive)
    assert (code, counts(document)) == (3, (0, 0, 30))
    assert "mood" in reasons(document)["7"]
    code, document = restore(archive, map=["mood:glad=merry"])
    assert (code, counts(document)) == (3, (0, 0, 30))
    assert "'merry', which is no label of app.mood now" in reasons(document)["7"]
    code, document = restore(archive, map=["mood:glad=happy"])
    assert (code, counts(document)) == (0, (30, 0, 0))
    assert execute("SELECT DISTINCT mood::text FROM app.t") == [("happy",)]
    assert restore(archive, map=["mood=happy"])[0] == 2
    assert restore(archive, map=["id:1=2"])[0] == 2


def test_a_generated_column_that_became_plain_is_named(execute: Execute, archive: Archive) -> None:
    execute("ALTER TABLE app.t ALTER doubled DROP EXPRESSION")
    assert "column doubled was generated" in refusal(archive)


def test_a_table_that_is_gone_is_named(execute: Execute, archive: Archive) -> None:
    execute("DROP TABLE app.t")
    assert "There is no table app.t any more" in refusal(archive)


def test_a_key_that_is_gone_leaves_whole_rows_to_compare(
    execute: Execute, archive: Archive
) -> None:
    execute("ALTER TABLE app.t DROP CONSTRAINT t_pkey")
    execute(f"INSERT INTO app.t (id, created_at) VALUES (1, {OLD})")
    values = f"(2, {OLD}, 'glad', 'Name 2')"
    execute(f'INSERT INTO app.t (id, created_at, mood, "Full name") VALUES {values}')
    assert counts(restore(archive)[1]) == (29, 1, 0)
    execute("ALTER TABLE app.t ALTER gone TYPE bigint")
    assert "no key any more" in refusal(archive)


def test_a_rule_that_swallows_rows_is_refused(execute: Execute, archive: Archive) -> None:
    execute("CREATE RULE swallow AS ON INSERT TO app.t DO INSTEAD NOTHING")
    assert "has a rule ON INSERT (swallow)" in refusal(archive)


def test_a_restore_whose_table_changes_under_way_ends_and_begins_anew(
    execute: Execute,
    archive: Archive,
    other_session: Callable[[], psycopg.Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lock = RestoreWork.lock_against_ddl

    def change(work: RestoreWork) -> None:
        monkeypatch.undo()
        other_session().execute("ALTER TABLE app.t ADD late int DEFAULT 5")
        lock(work)

    monkeypatch.setattr(RestoreWork, "lock_against_ddl", change)
    code, document = restore(archive)
    assert (code, document["run"]["state"]) == (1, "cancelled")
    assert "changed after this run was planned" in document["run"]["error"]
    assert restore(archive)[0] == 0
    assert execute("SELECT DISTINCT late FROM app.t") == [(5,)]

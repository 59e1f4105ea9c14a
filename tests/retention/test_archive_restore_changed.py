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

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
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


def test_a_column_of_another_sort_is_refused(execute: Execute, archive: Archive) -> None:
    execute("ALTER TABLE app.t ALTER created_at TYPE timestamp, ALTER mood TYPE text")
    assert refusal(archive).count("had the type") == 2


def test_a_type_that_is_gone_is_named(execute: Execute, archive: Archive) -> None:
    execute("ALTER TABLE app.t ALTER mood TYPE text")
    execute("DROP TYPE app.mood")
    assert "had the type app.mood, which does not exist any more" in refusal(archive)


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

"""Some rows of an archive go back: by a condition, by key, by place; and only where asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from operations.models import Run
from retention.models import Archive
from retention.services import archive_restore

from .archiving import OLD, archive_of, command, counts, reasons, restore, said
from .purging import live, make_events

pytestmark = pytest.mark.usefixtures("governed", "small_batches")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def archive(execute: Execute) -> Archive:
    make_events(execute, due=300)
    return archive_of("events")


def back(execute: Execute) -> list[int]:
    """The ids of due rows that are live."""
    return [row[0] for row in execute("SELECT id FROM app.events WHERE id <= 300 ORDER BY id")]


def test_rows_that_meet_a_condition_go_back_and_no_other(
    execute: Execute, archive: Archive
) -> None:
    code, document = restore(archive, where="kind LIKE '%7' AND id < 100", dry_run=True)
    assert (code, counts(document), back(execute)) == (0, (5, 0, 0), [])
    code, document = restore(archive, where="kind LIKE '%7' AND id < 100")
    assert (code, counts(document)) == (0, (5, 0, 0))
    assert back(execute) == [7, 27, 47, 67, 87]
    assert document["run"]["plan"]["rows_where"] == "kind LIKE '%7' AND id < 100"
    assert counts(restore(archive, where="kind LIKE '%7' AND id < 100")[1]) == (0, 5, 0)
    assert counts(restore(archive)[1]) == (295, 5, 0)


def test_rows_go_back_by_key_and_by_place(execute: Execute, archive: Archive) -> None:
    assert counts(restore(archive, key=["7", "250", "999"])[1]) == (2, 0, 0)
    assert back(execute) == [7, 250]
    _, document = command("archive_search", archive.name, where="id IN (8, 251)")
    places = [row["row"] for row in document["rows"]]
    assert counts(restore(archive, row=places)[1]) == (2, 0, 0)
    assert back(execute) == [7, 8, 250, 251]
    for options in ({"row": ["x"]}, {"row": ["9:9"]}, {"key": ["y"]}, {"where": "nothing = 1"}):
        assert restore(archive, **options)[0] == 2


def test_a_key_of_two_columns_is_written_in_its_order(execute: Execute) -> None:
    execute("CREATE TABLE app.pairs (a int, b text, created_at timestamptz, PRIMARY KEY (b, a))")
    execute(f"INSERT INTO app.pairs SELECT n, 'x,' || n, {OLD} FROM generate_series(1, 9) n")
    archive = archive_of("pairs")
    assert counts(restore(archive, key=['["x,3", 3]'])[1]) == (1, 0, 0)
    assert restore(archive, key=["3"])[0] == 2
    assert execute("SELECT a, b FROM app.pairs") == [(3, "x,3")]


def test_of_equal_rows_without_a_key_as_many_go_back_as_are_chosen(execute: Execute) -> None:
    execute("CREATE TABLE app.hits (created_at timestamptz, page text)")
    execute(f"INSERT INTO app.hits SELECT {OLD}, 'p' || mod(n, 3) FROM generate_series(1, 30) n")
    archive = archive_of("hits")
    assert restore(archive, key=["1"])[0] == 2
    assert counts(restore(archive, row=["1:1", "1:4"])[1]) == (2, 0, 0)
    assert counts(restore(archive, row=["1:1", "1:4"])[1]) == (0, 2, 0)
    assert counts(restore(archive, where="page = 'p1'")[1]) == (8, 2, 0)
    assert execute("SELECT page, count(*) FROM app.hits GROUP BY page") == [("p1", 10)]


def test_conflicts_of_rows_that_were_not_chosen_are_none(
    execute: Execute, archive: Archive
) -> None:
    execute("INSERT INTO app.events (id, kind) VALUES (5, 'mine'), (6, 'mine')")
    code, document = restore(archive, where="id IN (6, 7)")
    assert (code, counts(document), list(reasons(document))) == (3, (1, 0, 1), ["6"])
    assert back(execute) == [5, 6, 7]


def test_an_open_restore_of_other_rows_is_not_taken_for_this_one(
    execute: Execute, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_restore.ArchiveRestore, "step", lambda *_: 1 / 0)
    assert restore(archive, key=["7"])[0] == 1
    monkeypatch.undo()
    code, document = restore(archive)
    assert (code, "restores something else" in document["error"]["message"]) == (3, True)
    assert counts(restore(archive, key=["7"])[1]) == (1, 0, 0)
    assert Run.objects.filter(kind="archive_restore").count() == 1
    assert counts(restore(archive)[1]) == (299, 1, 0)


def test_rows_go_into_another_schema_whatever_became_of_the_table(
    execute: Execute, archive: Archive
) -> None:
    before = live()
    code, document = restore(archive, into_schema="rescue", where="id <= 40", dry_run=True)
    assert (code, counts(document)) == (0, (40, 0, 0))
    assert execute("SELECT to_regnamespace('rescue')::text") == [(None,)]
    try:
        assert counts(restore(archive, into_schema="rescue", where="id <= 40")[1]) == (40, 0, 0)
        assert live() == before
        execute("DROP TABLE app.events")
        assert restore(archive)[0] == 3
        assert counts(restore(archive, into_schema="rescue")[1]) == (260, 40, 0)
        found = execute('SELECT kind, raw, "Amount (€)"::text FROM rescue.events WHERE id = 7')
        assert found[0][0] == 'k"e,y7'
        assert execute("SELECT count(*) FROM rescue.events") == [(300,)]
        assert "no policy governs" in said("archive_restore", archive.name, into_schema="rescue")
    finally:
        execute("DROP SCHEMA IF EXISTS rescue CASCADE")


def test_another_schema_s_own_table_is_never_written_to(execute: Execute, archive: Archive) -> None:
    execute("CREATE SCHEMA tenant")
    try:
        execute("CREATE TABLE tenant.events (LIKE app.events)")
        for schema in ("tenant", "app", "custody", "history", "pg_temp", "information_schema"):
            code, _ = restore(archive, into_schema=schema)
            assert code == 3, schema
        assert execute("SELECT count(*) FROM tenant.events") == [(0,)]
    finally:
        execute("DROP SCHEMA tenant CASCADE")


def test_renamed_labels_and_narrower_domains_are_no_matter_in_another_schema(
    execute: Execute,
) -> None:
    execute("CREATE TYPE app.mood AS ENUM ('glad', 'sad')")
    execute("CREATE TABLE app.m (id int PRIMARY KEY, created_at timestamptz, mood app.mood)")
    execute(f"INSERT INTO app.m VALUES (1, {OLD}, 'sad'), (2, {OLD}, NULL)")
    archive = archive_of("m")
    execute("DROP TABLE app.m")
    execute("DROP TYPE app.mood")
    try:
        assert counts(restore(archive, into_schema="rescue")[1]) == (2, 0, 0)
        assert execute("SELECT id, mood FROM rescue.m ORDER BY id") == [(1, "sad"), (2, None)]
    finally:
        execute("DROP SCHEMA IF EXISTS rescue CASCADE")

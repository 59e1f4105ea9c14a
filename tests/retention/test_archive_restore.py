"""Rows of an archive go back where they are missing, exactly, and nothing live is touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from operations.models import Run
from retention.models import Archive
from retention.services import archive_restore, purge

from .archiving import OLD, archive_of, command, counts, restore, said
from .purging import live, make_events, stored

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "_PAGES", (2, 1, 2))
    monkeypatch.setattr(archive_restore, "_ROWS", (40, 1, 40))
    monkeypatch.setattr(archive_restore, "AGAIN_SECONDS", 0)


def test_the_rows_are_back_as_they_were_and_a_second_restore_finds_them_all(
    execute: Execute,
) -> None:
    make_events(execute, due=600)
    before = live()
    archive = archive_of("events")
    assert live() != before
    assert archive.parts.count() > 3
    code, document = restore(archive, reason="the court asked for them")
    assert (code, counts(document)) == (0, (600, 0, 0))
    assert live() == before
    run = document["run"]
    assert (run["kind"], run["state"], run["done"]) == ("archive_restore", "succeeded", 600)
    assert run["reason"] == "the court asked for them"
    assert document["archive"]["name"] == archive.name
    assert "the next purge takes them again" in document["warning"]
    code, document = restore(archive)
    assert (code, counts(document)) == (0, (0, 600, 0))
    assert "warning" not in document
    assert live() == before
    assert execute("SELECT relname FROM pg_class WHERE relname ^@ 'custody_'") == []


def test_a_rehearsal_counts_and_changes_nothing(execute: Execute) -> None:
    make_events(execute, due=300)
    archive = archive_of("events")
    execute("INSERT INTO app.events (id, kind) VALUES (7, 'mine now')")
    before = live()
    code, document = restore(archive, dry_run=True)
    assert (code, counts(document)) == (3, (299, 0, 1))
    assert document["dry_run"] is True
    assert live() == before
    assert not Run.objects.filter(kind="archive_restore").exists()
    assert "Nothing was changed" in said("archive_restore", archive.name, dry_run=True)


def test_only_the_missing_rows_go_in(execute: Execute) -> None:
    make_events(execute, due=300)
    before = live()
    archive = archive_of("events")
    first, _ = restore(archive)
    execute("DELETE FROM app.events WHERE id % 3 = 0 AND id <= 300")
    code, document = restore(archive)
    assert (first, code, counts(document)) == (0, 0, (100, 200, 0))
    assert live() == before


def test_without_a_key_equal_rows_are_told_apart_by_their_number(execute: Execute) -> None:
    execute("CREATE TABLE app.hits (seen timestamptz, page text, doc json)")
    fill = f"INSERT INTO app.hits SELECT {OLD}, page, doc::json FROM generate_series(1, %s), "
    fill += (
        "(VALUES ('a', NULL), ('', '{}'), (NULL, '{ }'), (repeat('long', 300), '[]')) v(page, doc)"
    )
    execute(fill, [60])
    before = live("app.hits")
    archive = archive_of("hits", age_column="seen")
    assert archive.parts.count() > 1
    assert live("app.hits").total() == 0
    execute(fill, [7])
    execute(f"INSERT INTO app.hits VALUES ({OLD}, 'of today', '{{}}')")
    code, document = restore(archive)
    assert (code, counts(document)) == (0, (4 * 53, 4 * 7, 0))
    assert live("app.hits").total() == before.total() + 1
    assert live("app.hits") >= before
    code, document = restore(archive)
    assert (code, counts(document)) == (0, (0, 240, 0))


def test_parents_in_the_same_table_go_back_before_their_children(execute: Execute) -> None:
    execute(
        "CREATE TABLE app.notes (id int PRIMARY KEY, parent int REFERENCES app.notes,"
        " created_at timestamptz, long text)"
    )
    execute(
        # The children lie before their parents, so that one pass takes both.
        "INSERT INTO app.notes SELECT n, CASE WHEN n <= 200 THEN n + 100 END,"
        f" {OLD}, repeat('x', 200) FROM generate_series(1, 300) n"
    )
    before = live("app.notes")
    archive = archive_of("notes")
    assert archive.rows == 300
    code, document = restore(archive)
    assert (code, counts(document)) == (0, (300, 0, 0))
    assert live("app.notes") == before


def test_a_partitioned_table_takes_its_rows_though_its_partitions_changed(
    execute: Execute,
) -> None:
    execute(
        "CREATE TABLE app.logs (id int, at timestamptz, PRIMARY KEY (id, at))"
        " PARTITION BY RANGE (at)",
    )
    for year in (2001, 2002, 2003, 2099):
        execute(
            f"CREATE TABLE app.logs_{year} PARTITION OF app.logs"
            f" FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01')"
        )
        execute(f"INSERT INTO app.logs SELECT n, '{year}-05-05' FROM generate_series(1, 90) n")
    before = live("app.logs")
    archive = archive_of("logs", age_column="at")
    assert set(archive.parts.values_list("table_name", flat=True)) == {
        "logs_2001",
        "logs_2002",
        "logs_2003",
    }
    assert execute("SELECT to_regclass('app.logs_2001'), to_regclass('app.logs_2003')") == [
        (None, None)
    ], "the purge dropped them whole"
    execute(
        "CREATE TABLE app.logs_2003 PARTITION OF app.logs"
        " FOR VALUES FROM ('2003-01-01') TO ('2004-01-01')"
    )
    execute(
        "CREATE TABLE app.logs_early PARTITION OF app.logs"
        " FOR VALUES FROM ('2000-01-01') TO ('2002-01-01')"
    )
    code, document = restore(archive)
    assert (code, counts(document)) == (3, (180, 0, 90))
    assert {each["why"] for each in document["conflicts"]} == {
        "no partition of app.logs takes it: make one for it first"
    }
    assert document["conflicts"][0]["key"] == '["1","2002-05-05 00:00:00+00"]'
    execute("CREATE TABLE app.logs_rest PARTITION OF app.logs DEFAULT")
    code, document = restore(archive)
    assert (code, counts(document)) == (0, (90, 180, 0))
    assert live("app.logs") == before


def test_identity_values_come_back_and_generated_ones_are_made_again(execute: Execute) -> None:
    execute(
        "CREATE TABLE app.tickets (created_at timestamptz, no int GENERATED ALWAYS AS IDENTITY"
        " PRIMARY KEY, twice int GENERATED ALWAYS AS (octet_length(name) * 2) STORED, name text)"
    )
    execute(f"INSERT INTO app.tickets (created_at, name) VALUES ({OLD}, 'a'), ({OLD}, NULL)")
    before = live("app.tickets")
    archive = archive_of("tickets")
    assert restore(archive)[0] == 0
    assert live("app.tickets") == before


def test_triggers_fire_and_what_they_change_is_counted(execute: Execute) -> None:
    execute("CREATE TABLE app.words (id int PRIMARY KEY, created_at timestamptz, word text)")
    execute(f"INSERT INTO app.words SELECT n, {OLD}, 'w' || n FROM generate_series(1, 50) n")
    archive = archive_of("words")
    execute(
        "CREATE FUNCTION app.shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF new.id = 7 THEN RETURN NULL; END IF;"
        " IF new.id = 8 THEN RAISE 'secret value %', new.word; END IF;"
        " IF new.id % 10 = 0 THEN new.word := upper(new.word); END IF; RETURN new; END $$"
    )
    execute(
        "CREATE TRIGGER shout BEFORE INSERT ON app.words FOR EACH ROW EXECUTE FUNCTION app.shout()"
    )
    code, document = restore(archive)
    assert (code, counts(document)) == (3, (48, 0, 2))
    assert document["changed_by_trigger"] == 5
    left_out, raised = document["conflicts"]
    assert (left_out["key"], left_out["why"]) == ("7", "a trigger of the table left it out")
    assert raised["key"] == "8"
    assert "shout()" in raised["why"]
    assert "secret" not in str(document)


def test_a_damaged_part_is_not_restored_and_the_sound_ones_are(execute: Execute) -> None:
    make_events(execute, due=600)
    archive = archive_of("events")
    last, *_, first = archive.parts.order_by("-number")
    content = bytearray(stored(first.file))
    content[len(content) // 2] ^= 1
    _overwrite(first.file, bytes(content))
    code, document = restore(archive)
    assert code == 1
    assert document["run"]["state"] == "failed"
    assert first.file in document["run"]["error"]
    assert "archive_verify" in document["run"]["error"]
    assert document["restored"] == archive.rows - first.rows
    assert last.rows > 0


def test_an_archive_under_way_is_not_restored(execute: Execute) -> None:
    make_events(execute, due=100)
    archive = archive_of("events")
    Archive.objects.update(state=Archive.State.OPEN)
    code, document = restore(archive)
    assert code == 3
    assert f"still being written by run {archive.run_id}" in document["error"]["message"]


def test_an_unknown_archive_is_answered_with_those_there_are(execute: Execute) -> None:
    make_events(execute, due=100)
    archive = archive_of("events")
    code, document = command("archive_restore", "nothing")
    assert code == 2
    assert archive.name in document["error"]["message"]
    code, document = command("archive_restore", archive.name[:-3])
    assert (code, document["restored"]) == (0, 100)


def _overwrite(file: str, content: bytes) -> None:
    from pathlib import Path

    from django.conf import settings

    path = Path(settings.CUSTODY_STORAGE) / file
    path.write_bytes(content)

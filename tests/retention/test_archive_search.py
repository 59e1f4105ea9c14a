"""Rows are found in archives by their columns, whatever became of the table since."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from pyrage import x25519
from pytest_django import Settings

from operations.batches.walk import Walk
from retention.models import Archive
from retention.services import archive_rows, purge, purge_plan
from retention.services.hold_place import ScopeAsked, hold_place

from .archiving import OLD, archive_of, command, said

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


def make_people(execute: Execute, rows: int = 30) -> None:
    execute("CREATE TYPE app.mood AS ENUM ('glad', 'sad')")
    execute("CREATE DOMAIN app.mail AS text CHECK (VALUE LIKE '%@%')")
    execute(
        "CREATE TABLE app.people (id int PRIMARY KEY, created_at timestamptz, email app.mail,"
        ' mood app.mood, "Full name" text, about jsonb)'
    )
    execute(
        f"INSERT INTO app.people SELECT n, {OLD}, 'p' || n || '@example.org',"
        " CASE WHEN mod(n, 2) = 0 THEN 'sad' END::app.mood, E'Line one\\nof \"' || n || '\", %%',"
        " jsonb_build_object('n', n) FROM generate_series(1, %s) n",
        [rows],
    )


@pytest.fixture
def archive(execute: Execute) -> Archive:
    make_people(execute)
    return archive_of("people")


def found(archive: Archive, where: str, **options: Any) -> list[Any]:
    """The keys of the rows that were found."""
    code, document = command("archive_search", archive.name, where=where, **options)
    assert code == 0
    assert document["matched"] == len(document["rows"])
    return [row["values"]["id"] for row in document["rows"]]


def test_a_row_is_told_with_its_place_and_the_types_of_its_values(archive: Archive) -> None:
    code, document = command("archive_search", archive.name, where="email = 'p7@example.org'")
    assert (code, document["matched"], document["complete"]) == (0, 1, True)
    assert document["rows"] == [
        {
            "archive": archive.name,
            "row": "1:7",
            "values": {
                "id": 7,
                "created_at": "2001-02-03T00:00:00+00:00",
                "email": "p7@example.org",
                "mood": None,
                "Full name": 'Line one\nof "7", %',
                "about": {"n": 7},
            },
        }
    ]


def test_what_a_person_reads(archive: Archive) -> None:
    text = said("archive_search", archive.name, where="id IN (2, 3)")
    assert "1:2" in text
    assert "p3@example.org" in text
    assert 'Line one of "2", %' in text
    assert text.endswith("2 rows of 30 in 1 archive.\n")
    text = said("archive_search", archive.name, limit=2)
    assert "2 rows, and there may be more" in text
    assert "p3@example.org" not in text
    text = said("archive_search", archive.name, count=True, where="mood = 'sad'")
    assert "15 rows of 30 in 1 archive." in text


def test_the_table_need_not_be_what_it_was(execute: Execute, archive: Archive) -> None:
    execute("ALTER TYPE app.mood RENAME VALUE 'sad' TO 'blue'")
    assert found(archive, "mood = 'sad' AND id < 5") == [2, 4]
    execute("ALTER TABLE app.people RENAME id TO no")
    execute("ALTER TABLE app.people DROP email")
    assert found(archive, "email LIKE 'p1_@%'") == list(range(10, 20))
    execute("DROP TABLE app.people")
    execute("DROP TYPE app.mood")
    execute("DROP DOMAIN app.mail")
    assert found(archive, "mood = 'sad' AND \"Full name\" LIKE '%\"4\"%'") == [4]


def test_an_archive_is_read_in_slices_and_only_as_far_as_asked(
    execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(execute, 3_000)
    archive = archive_of("people")
    monkeypatch.setattr(archive_rows, "SLICE", 1 << 12)
    copied: list[int] = []
    copy_in = archive_rows.copy_in

    def count(*arguments: Any, **options: Any) -> int:
        copied.append(copy_in(*arguments, **options))
        return copied[-1]

    monkeypatch.setattr(archive_rows, "copy_in", count)
    monkeypatch.setattr("retention.services.part_reader._UNPACKED", 1 << 10)
    assert found(archive, "id > 0") == list(range(1, 3_001))
    assert len(copied) > 50
    assert max(copied) < 100, "no slice holds more than its share"
    copied.clear()
    assert found(archive, "id = 2999") == [2999]
    assert sum(copied) == 1, "what does not match is not stored"
    copied.clear()
    assert found(archive, "id > 0", limit=5) == [1, 2, 3, 4, 5]
    assert len(copied) == 1


@pytest.fixture
def by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk("key", ("id",), "the test says so")
    monkeypatch.setattr(purge_plan, "walk_choose", lambda *_, **__: walk)
    monkeypatch.setattr(purge, "_KEYS", (10, 1, 10))


@pytest.mark.usefixtures("by_key")
def test_parts_that_cannot_hold_the_key_are_not_read(execute: Execute) -> None:
    make_people(execute)
    archive = archive_of("people")
    assert archive.parts.count() == 3
    for part in archive.parts.exclude(number=2):
        (Path(settings.CUSTODY_STORAGE) / part.file).unlink()
    assert found(archive, "id = 15") == [15]
    assert found(archive, "id IN (20, 11, 99) AND mood = 'sad'") == [20]
    code, document = command("archive_search", archive.name, where="id = 15 OR id = 16")
    assert (code, document["rows"], document["complete"]) == (1, [], False)
    assert "part-000001" in document["failed"][0]["why"]


def test_all_archives_of_a_table_are_searched(execute: Execute, archive: Archive) -> None:
    execute("ALTER TABLE app.people ADD phone text")
    execute(f"INSERT INTO app.people (id, created_at, phone) VALUES (99, {OLD}, '555')")
    second = archive_of("people", name="again")
    code, document = command("archive_search", table="app.people", where="phone = '555'")
    assert (code, [row["archive"] for row in document["rows"]]) == (0, [second.name])
    assert [each["archive"] for each in document["skipped"]] == [archive.name]
    code, document = command("archive_search", archive.name, second.name, where="phone = '555'")
    assert code == 2
    code, document = command("archive_search", table="people", where="id IN (30, 99)", count=True)
    assert document["counts"] == {archive.name: 1, second.name: 1}
    code, document = command("archive_search", table="people", where="nothing = 1")
    assert (code, "no column nothing" in document["error"]["message"]) == (2, True)


def test_a_damaged_part_is_told_and_keeps_no_other_archive_back(
    execute: Execute, archive: Archive
) -> None:
    execute(f"INSERT INTO app.people (id, created_at) VALUES (99, {OLD})")
    second = archive_of("people", name="again")
    part = archive.parts.get()
    path = Path(settings.CUSTODY_STORAGE) / part.file
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-20])
    code, document = command("archive_search", table="people", where="id = 99")
    assert (code, document["complete"]) == (1, False)
    assert [row["archive"] for row in document["rows"]] == [second.name]
    assert [each["archive"] for each in document["failed"]] == [archive.name]


@pytest.mark.parametrize(
    ("arguments", "options", "problem"),
    [
        ([], {}, "Say which archives"),
        (["no such"], {}, "There is no archive"),
        (["people"], {"where": "id = (SELECT 1)"}, "Condition refused"),
        (["people"], {"where": "id = 'x'"}, "invalid input syntax for type integer"),
        (["people"], {"limit": 0}, "--limit is a number"),
    ],
)
def test_what_is_not_understood_is_refused(
    archive: Archive, arguments: list[str], options: dict[str, Any], problem: str
) -> None:
    code, document = command("archive_search", *arguments, **options)
    assert (code, problem in document["error"]["message"]) == (2, True), document


def test_an_encrypted_archive_is_searched_restored_and_asked_by_holds_with_its_key_only(
    execute: Execute, settings: Settings, tmp_path: Path, person: User
) -> None:
    key = x25519.Identity.generate()
    settings.CUSTODY_ARCHIVE_RECIPIENTS = [str(key.to_public())]
    make_people(execute)
    archive = archive_of("people", archive_days=30)
    Archive.objects.update(expires_at=archive.created_at)
    for name in ("archive_search", "archive_restore"):
        code, document = command(name, archive.name, where="id = 7")
        assert (code, document["error"]["kind"]) == (3, "IdentityNeeded")
    scope = ScopeAsked("app.people", rows=["999"], missing_ok=True)
    hold_place(case_id="1", reason="a lawsuit", scopes=[scope], placed_by=person)
    code, document = command("archive_expire", dry_run=True)
    assert "its rows cannot be asked" in document["kept"][0]["why"]
    identity = tmp_path / "identity.txt"
    identity.write_text(f"{key}\n")
    identity.chmod(0o600)
    settings.CUSTODY_ARCHIVE_IDENTITY = str(identity)
    assert found(archive, "email = 'p7@example.org'") == [7]
    assert command("archive_restore", archive.name, where="id = 7")[1]["restored"] == 1
    assert command("archive_expire", dry_run=True)[1]["kept"] == []

"""Every kind of damage to an archive is found and named, and sound archives raise no alarm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from django.conf import settings

from operations.services.actors import system_user
from retention.models import Archive, ArchivePart
from retention.services import purge
from retention.services.purge_start import purge_run

from .archiving import archive_of, command, said
from .purging import files, make_events, make_policy, stored

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "_PAGES", (2, 1, 2))


@pytest.fixture
def archive(execute: Execute) -> Archive:
    make_events(execute, due=300)
    return archive_of("events")


@pytest.fixture
def part(archive: Archive) -> ArchivePart:
    assert archive.parts.count() > 2
    return archive.parts.order_by("number")[1]


def path(file: str) -> Path:
    return Path(settings.CUSTODY_STORAGE) / file


def problems(archive: Archive) -> dict[str, str]:
    """What is wrong, by file; the archive is verified by its name and among all."""
    code, document = command("archive_verify", archive.name)
    found = document["archive"]["problems"]
    assert document["ok"] is document["archive"]["ok"] is not bool(found)
    assert code == (1 if found else 0)
    assert command("archive_verify")[1]["archives"] == document["archives"]
    text = said("archive_verify", archive.name)
    assert all(problem["file"] in text and problem["what"] in text for problem in found)
    return {problem["file"]: problem["what"] for problem in found}


def rewrite(part: ArchivePart, change: Callable[[bytes], bytes]) -> None:
    """Another part, consistent in itself: database and sidecar know its bytes."""
    plain = change(zstandard.ZstdDecompressor().decompressobj().decompress(stored(part.file)))
    packed = zstandard.ZstdCompressor().compress(plain)
    facts = {
        "bytes": len(packed),
        "plain_bytes": len(plain),
        "sha256": hashlib.sha256(packed).hexdigest(),
    }
    path(part.file).write_bytes(packed)
    sidecar = json.loads(stored(f"{part.file}.json"))
    path(f"{part.file}.json").write_text(json.dumps({**sidecar, **facts}))
    ArchivePart.objects.filter(pk=part.pk).update(**facts)


def test_a_sound_archive_raises_no_alarm(archive: Archive) -> None:
    before = files()
    assert problems(archive) == {}
    code, document = command("archive_verify")
    assert (code, document["ok"], document["strangers"]) == (0, True, [])
    assert document["archive"]["notes"] == []
    assert "300 rows" in said("archive_verify")
    assert files() == before


def test_a_part_that_is_gone_is_named_with_its_rows(archive: Archive, part: ArchivePart) -> None:
    path(part.file).unlink()
    assert problems(archive) == {part.file: f"is missing, and with it {part.rows:,} rows"}


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:-1],
        lambda _: b"",
        lambda content: content + b"\0",
        lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:],
        lambda content: b"not zstd" + content[8:],
        lambda content: zstandard.ZstdCompressor(9).compress(
            zstandard.ZstdDecompressor().decompressobj().decompress(content)
        ),
    ],
    ids=["cut", "emptied", "longer", "a bit flipped", "no zstd", "packed again"],
)
def test_a_part_that_was_changed_is_named(
    archive: Archive, part: ArchivePart, change: Callable[[bytes], bytes]
) -> None:
    path(part.file).write_bytes(change(stored(part.file)))
    found = problems(archive)
    assert list(found) == [part.file]
    assert found[part.file].startswith("is not what was written: its SHA-256 differs")


def test_parts_that_changed_places_are_both_named(archive: Archive, part: ArchivePart) -> None:
    other = archive.parts.order_by("number")[0]
    ours, theirs = stored(part.file), stored(other.file)
    path(part.file).write_bytes(theirs)
    path(other.file).write_bytes(ours)
    assert set(problems(archive)) == {part.file, other.file}


def test_a_lost_row_is_found_though_all_hashes_were_made_to_fit(
    archive: Archive, part: ArchivePart
) -> None:
    rewrite(part, lambda plain: plain[: plain.rindex(b"\n", 0, -1) + 1])
    found = problems(archive)
    assert found[part.file].startswith("holds another number of rows")
    manifest = f"{archive.folder}/manifest.json"
    assert found[manifest] == "does not agree with the database on: bytes, parts"


def test_a_header_with_other_columns_is_named(archive: Archive, part: ArchivePart) -> None:
    rewrite(part, lambda plain: plain.replace(b"id,", b"no,", 1))
    assert problems(archive)[part.file] == "its header does not name the columns of the layout"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (None, "is missing"),
        (lambda facts: {**facts, "rows": 0}, "does not agree with the database on: rows"),
        (
            lambda facts: {**facts, "table": ["app", "others"], "sha256": ""},
            "does not agree with the database on: table, sha256",
        ),
        (lambda _: [], "cannot be read: it is not a JSON object"),
    ],
    ids=["missing", "rows", "several", "no object"],
)
def test_a_sidecar_is_compared(
    archive: Archive, part: ArchivePart, change: Callable[[Any], Any] | None, what: str
) -> None:
    sidecar = path(f"{part.file}.json")
    facts = json.loads(sidecar.read_text())
    sidecar.unlink()
    if change is not None:
        sidecar.write_text(json.dumps(change(facts)))
    assert problems(archive) == {f"{part.file}.json": what}


def test_a_sidecar_that_is_no_json_is_named(archive: Archive, part: ArchivePart) -> None:
    path(f"{part.file}.json").write_bytes(b"\xff{")
    assert problems(archive) == {f"{part.file}.json": "cannot be read: it is not JSON"}


def test_a_manifest_that_is_gone_or_changed_is_named(archive: Archive) -> None:
    file = f"{archive.folder}/manifest.json"
    content = json.loads(stored(file))
    path(file).write_text(json.dumps(content))
    _, document = command("archive_verify", archive.name)
    assert [each["what"] for each in document["archive"]["problems"]] == [
        "is not what was written: its SHA-256 differs",
        "is not the one that the run's certificate names",
    ]
    path(file).unlink()
    assert problems(archive) == {file: "is missing"}


def test_the_certificate_tells_when_manifest_and_database_were_changed_together(
    archive: Archive,
) -> None:
    file = f"{archive.folder}/manifest.json"
    path(file).write_bytes(stored(file) + b" ")
    Archive.objects.update(manifest_sha256=hashlib.sha256(stored(file)).hexdigest())
    assert problems(archive) == {file: "is not the one that the run's certificate names"}


def test_a_part_that_the_database_lost_is_reported_and_kept(
    archive: Archive, part: ArchivePart
) -> None:
    ArchivePart.objects.filter(pk=part.pk).delete()
    before = files()
    found = problems(archive)
    unknown = "is not known to the database; it was left alone"
    assert found[part.file] == found[f"{part.file}.json"] == unknown
    assert found[f"{archive.folder}/manifest.json"]
    assert files() == before


def test_drafts_and_files_of_nobody_are_reported(archive: Archive) -> None:
    path(f"{archive.folder}/.part-000009-1.1.csv.zst.tag.tmp").write_bytes(b"half")
    path("archives/older").mkdir()
    path("archives/older/part-000001-1.1.csv.zst").write_bytes(b"rows")
    assert list(problems(archive)) == [f"{archive.folder}/.part-000009-1.1.csv.zst.tag.tmp"]
    code, document = command("archive_verify")
    assert code == 1
    assert [each["file"] for each in document["strangers"]] == [
        "archives/older/part-000001-1.1.csv.zst"
    ]


def test_an_archive_under_way_is_checked_as_far_as_it_goes(
    execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_events(execute, due=300)
    policy = make_policy()
    person = system_user("purger")
    step = purge.Purge.step
    steps = 0

    def fail(kind: purge.Purge, run: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 3:
            # As a worker that is killed leaves it: durable, and not known to the database.
            for name in ("part-000003-1.9.csv.zst", "part-000003-1.9.csv.zst.json"):
                path(f"{Archive.objects.get().folder}/{name}").write_bytes(b"durable")
            raise RuntimeError("the worker is gone")
        return step(kind, run)

    monkeypatch.setattr(purge.Purge, "step", fail)
    purge_run(policy=policy, requester=person)
    monkeypatch.undo()
    archive = Archive.objects.get()
    assert archive.state == "open"
    assert problems(archive) == {}
    _, document = command("archive_verify", archive.name)
    assert "still being written" in document["archive"]["notes"][0]
    assert "2 parts so far" in document["archive"]["notes"][0]
    part = archive.parts.order_by("number")[0]
    content = stored(part.file)
    path(part.file).write_bytes(content[:-1])
    assert list(problems(archive)) == [part.file]
    path(part.file).write_bytes(content)
    purge_run(policy=policy, requester=person)
    archive.refresh_from_db()
    assert archive.state == "complete"
    assert problems(archive) == {}


def test_archives_are_listed_by_policy_and_table(execute: Execute, archive: Archive) -> None:
    assert command("archive_list")[1]["archives"][0]["name"] == archive.name
    for option in ({"policy": "events"}, {"table": "events"}, {"table": "app.events"}):
        _, document = command("archive_list", **option)
        assert [each["rows"] for each in document["archives"]] == [300]
    assert command("archive_list", table="app.other")[1] == {"archives": []}
    assert command("archive_list", policy="nobody")[0] == 2
    text = said("archive_list")
    assert archive.name in text
    assert "KiB" in text
    assert "complete" in text

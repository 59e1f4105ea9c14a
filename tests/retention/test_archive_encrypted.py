"""Encrypted archives: written without a private key, read with one, and honest about it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest
import zstandard
from django.conf import settings as current
from django.contrib.auth.models import User
from pyrage import x25519
from pytest_django import Settings

from operations.models import Certificate, Run
from retention.models import Archive, ArchivePart
from retention.services.purge_start import purge_run

from .archiving import archive_of, command, counts, restore, said
from .crash import Nursery
from .purging import assert_whole, live, make_events, make_policy, messages, ran, stored
from .writing import EVERYTHING, Writer, assert_hardly_waited, assert_nothing_lost, stop

pytestmark = pytest.mark.usefixtures("governed", "small_batches")
Execute = Callable[..., list[tuple[Any, ...]]]
DUE = 600


@pytest.fixture
def key(settings: Settings) -> x25519.Identity:
    made = x25519.Identity.generate()
    settings.CUSTODY_ARCHIVE_RECIPIENTS = [str(made.to_public())]
    return made


@pytest.fixture
def hold(settings: Settings, tmp_path: Path) -> Callable[..., None]:
    """Gives the console these identities."""

    def give(*keys: x25519.Identity) -> None:
        path = tmp_path / "identity.txt"
        path.write_text("".join(f"{key}\n" for key in keys))
        path.chmod(0o600)
        settings.CUSTODY_ARCHIVE_IDENTITY = str(path)

    return give


def opened(part: ArchivePart, key: x25519.Identity) -> bytes:
    packed = pyrage.decrypt(stored(part.file), [key])
    return zstandard.ZstdDecompressor().decompressobj().decompress(packed)


def damage(file: str, at: float = 0.5) -> None:
    path = Path(current.CUSTODY_STORAGE) / file
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 1
    path.write_bytes(content)


def certified(archive: Archive) -> dict[str, Any]:
    body = Certificate.objects.get(run=archive.run, kind="disposition").body["body"]
    found: dict[str, Any] = body["archive"]
    return found


def test_a_console_without_a_private_key_archives_and_says_what_it_could_not_check(
    execute: Execute, key: x25519.Identity
) -> None:
    make_events(execute, due=DUE)
    before = live()
    archive = archive_of("events")
    public = str(key.to_public())
    assert archive.recipients == [public]
    assert (archive.layout["encryption"], archive.layout["recipients"]) == ("age", [public])
    parts = list(archive.parts.order_by("number"))
    assert len(parts) > 1
    rows: Counter[str] = Counter()
    for part in parts:
        assert part.file.endswith(".csv.zst.age")
        assert stored(part.file).startswith(b"age-encryption.org/v1\n")
        assert json.loads(stored(f"{part.file}.json"))["layout"] == archive.layout
        plain = opened(part, key)
        assert (len(plain), plain.count(b"\n") - 1) == (part.plain_bytes, part.rows)
        rows[part.file] = part.rows
    assert rows.total() == DUE == (before - live()).total()
    manifest = json.loads(stored(f"{archive.folder}/manifest.json"))
    assert manifest["recipients"] == [public]
    body = certified(archive)
    assert body["encrypted_to"] == [public]
    assert "not counted again" in body["verified"]

    code, document = command("archive_verify", archive.name)
    assert (code, document["ok"]) == (0, True)
    told = said("archive_verify", archive.name)
    assert "its rows were not counted" in told
    assert public in told
    assert "CUSTODY_ARCHIVE_IDENTITY" in told


def test_with_its_identity_everything_is_counted_and_restored(
    execute: Execute, key: x25519.Identity, hold: Callable[..., None]
) -> None:
    hold(x25519.Identity.generate(), key)
    make_events(execute, due=DUE)
    before = live()
    archive = archive_of("events")
    assert "number of rows" in certified(archive)["verified"]
    assert "not counted" not in said("archive_verify", archive.name)
    assert command("archive_verify", archive.name)[0] == 0
    code, document = restore(archive)
    assert (code, counts(document)) == (0, (DUE, 0, 0))
    assert live() == before


@pytest.mark.parametrize("held", ["none", "another", "missing"])
def test_a_restore_without_the_identity_changes_nothing_and_says_what_to_do(
    execute: Execute,
    settings: Settings,
    key: x25519.Identity,
    hold: Callable[..., None],
    held: str,
) -> None:
    make_events(execute, due=DUE)
    archive = archive_of("events")
    left = live()
    if held == "another":
        hold(x25519.Identity.generate())
    elif held == "missing":
        settings.CUSTODY_ARCHIVE_IDENTITY = "/nowhere/identity.txt"
    runs = Run.objects.count()
    for arguments in ({"dry_run": True}, {}):
        told = said("archive_restore", archive.name, **arguments)
        if held == "missing":
            assert "Cannot read the identity /nowhere/identity.txt" in told
        else:
            assert f"encrypted to {key.to_public()}" in told
    assert (live(), Run.objects.count()) == (left, runs)


@pytest.mark.parametrize("reading", [True, False], ids=["with identity", "without"])
@pytest.mark.parametrize("at", [0.02, 0.5], ids=["header", "content"])
def test_damaged_ciphertext_is_found_with_and_without_an_identity(
    execute: Execute, key: x25519.Identity, hold: Callable[..., None], reading: bool, at: float
) -> None:
    make_events(execute, due=DUE)
    archive = archive_of("events")
    if reading:
        hold(key)
    part = archive.parts.order_by("number")[1]
    damage(part.file, at)
    code, document = command("archive_verify", archive.name)
    assert code == 1
    [problem] = document["archives"][0]["problems"]
    assert problem["file"] == part.file
    assert "SHA-256 differs" in problem["what"]


def test_a_part_that_is_damaged_before_the_run_ends_fails_it_although_nobody_can_read_it(
    execute: Execute, person: User, key: x25519.Identity
) -> None:
    make_events(execute, due=DUE)

    def spoil(run: Run) -> None:
        if run.state == "verifying":
            damage(ArchivePart.objects.order_by("number")[0].file)

    answer = purge_run(policy=make_policy(), requester=person, on_progress=spoil)
    assert answer.run is not None
    assert answer.run.state == "failed"
    assert "SHA-256 differs" in answer.run.error


@pytest.mark.parametrize("point", ["copying", "writing", "landed", "durable", "manifest"])
def test_killed_it_goes_on_and_loses_nothing(
    nursery: Nursery,
    execute: Execute,
    key: x25519.Identity,
    hold: Callable[..., None],
    point: str,
) -> None:
    hold(key)
    make_events(execute, due=DUE)
    make_policy()
    before = live()
    worker = nursery.work(at=point, number=1 if point == "manifest" else 4)
    worker.wait_for(point)
    worker.kill()
    assert live() <= before
    assert nursery.work().end()["end"] == "succeeded"
    assert_whole(before)


def test_writers_hardly_wait_while_the_storage_of_an_encrypted_archive_hangs(
    nursery: Nursery,
    execute: Execute,
    key: x25519.Identity,
    hold: Callable[..., None],
    writers: Callable[[], list[Writer]],
) -> None:
    hold(key)
    make_events(execute, due=2000)
    make_policy()
    worker = nursery.work(pages=EVERYTHING, at="writing", seconds=5)
    worker.wait_for("writing")
    busy = writers()
    assert worker.end()["end"] == "succeeded"
    stop(busy)
    assert "did not take" in " ".join(messages(Run.objects.get()))
    assert_hardly_waited(busy)
    assert_nothing_lost(execute, busy)


def test_a_recipient_that_is_none_stops_the_purge_before_anything_is_deleted(
    execute: Execute, settings: Settings, person: User
) -> None:
    settings.CUSTODY_ARCHIVE_RECIPIENTS = ["age1nonsense"]
    make_events(execute, due=DUE)
    policy = make_policy()
    before = live()
    answer = purge_run(policy=policy, requester=person)
    assert answer.run is not None
    assert answer.run.state == "failed"
    assert "is no public key of age" in answer.run.error
    assert live() == before


def test_new_keys_are_for_new_archives_and_old_ones_are_read_with_the_old_identity(
    execute: Execute,
    settings: Settings,
    key: x25519.Identity,
    hold: Callable[..., None],
    person: User,
) -> None:
    make_events(execute, due=DUE)
    before = live()
    old = archive_of("events")
    new_key = x25519.Identity.generate()
    settings.CUSTODY_ARCHIVE_RECIPIENTS = [str(new_key.to_public())]
    execute("UPDATE app.events SET created_at = now() - interval '500 days' WHERE id <= 620")
    new = Archive.objects.get(run=ran(purge_run(policy=old.policy, requester=person)))
    assert (old.recipients, new.recipients) == (
        [str(key.to_public())],
        [str(new_key.to_public())],
    )
    hold(new_key)
    assert f"encrypted to {key.to_public()}" in said("archive_restore", old.name)
    hold(new_key, key)
    assert restore(old)[0] == restore(new)[0] == 0
    assert live().total() == before.total()


def test_the_documented_line_reads_a_part_without_custody(
    execute: Execute, key: x25519.Identity, tmp_path: Path
) -> None:
    if not (shutil.which("age") and shutil.which("zstd")):
        pytest.skip("age and zstd are not installed here")
    make_events(execute, due=DUE)
    part = archive_of("events").parts.order_by("number")[0]
    (tmp_path / "key.txt").write_text(f"{key}\n")
    (tmp_path / "part.csv.zst.age").write_bytes(stored(part.file))
    line = "age -d -i key.txt part.csv.zst.age | zstd -dc"
    read = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, check=True)
    assert read.stdout == opened(part, key)

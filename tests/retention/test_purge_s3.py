"""A purge into S3: what is gone from the table is in the bucket, locked where that is wanted."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from pyrage import x25519
from pytest_django import Settings

from operations.models import Certificate, Run
from operations.storage import StorageLocked, storage
from operations.storage.s3_place import S3Place
from retention.models import Archive
from retention.services.purge_start import purge_run

from .archiving import archive_of, command, counts, restore, said
from .expiring import assert_destroyed, past_its_term
from .purging import (
    assert_whole,
    files,
    known_files,
    live,
    make_events,
    make_policy,
    ran,
    stored,
)
from .records import assert_all_there, record_policy, state
from .s3_bucket import Buckets

pytestmark = pytest.mark.usefixtures("governed", "small_batches")
Execute = Callable[..., list[tuple[Any, ...]]]
DUE = 600
TERM = 3650


def hold_key(settings: Settings, folder: Path) -> x25519.Identity:
    """Archives are encrypted to a key that this console holds."""
    key = x25519.Identity.generate()
    path = folder / "identity.txt"
    path.write_text(f"{key}\n")
    path.chmod(0o600)
    settings.CUSTODY_ARCHIVE_RECIPIENTS = [str(key.to_public())]
    settings.CUSTODY_ARCHIVE_IDENTITY = str(path)
    return key


def test_everything_of_an_archive_is_locked_until_its_term_is_over(
    execute: Execute, buckets: Buckets
) -> None:
    bucket = buckets.use(lock="compliance")
    make_events(execute, due=DUE)
    before = live()
    archive = archive_of("events", archive_days=TERM)
    assert_whole(before)
    assert archive.parts.count() > 1
    until = archive.expires_at
    assert archive.completed_at is not None
    assert archive.locked_until == until == archive.completed_at + timedelta(days=TERM)
    certificate = Certificate.objects.get()
    wanted = known_files() | {certificate.json_path, certificate.pdf_path}
    assert bucket.locks() == dict.fromkeys(wanted, until)
    assert certificate.body["body"]["archive"]["locked_until"] == until.isoformat()
    for file in wanted:
        with pytest.raises(StorageLocked, match=f"until {until:%Y-%m-%d}"):
            storage().delete(file)
    code, document = command("archive_verify")
    assert (code, document["strangers"]) == (0, [])
    assert str(storage().location(archive.folder)).startswith(f"s3://{bucket.name}/shop/archives/")
    code, document = restore(archive)
    assert (code, counts(document)) == (0, (DUE, 0, 0))
    assert live() == before


def test_an_archive_without_a_term_is_not_locked(execute: Execute, buckets: Buckets) -> None:
    bucket = buckets.use(lock="compliance")
    make_events(execute, due=100)
    archive = archive_of("events")
    assert (archive.locked_until, archive.expires_at) == (None, None)
    assert set(bucket.locks().values()) == {None}


def test_locked_and_encrypted_it_is_verified_and_restored(
    execute: Execute, buckets: Buckets, settings: Settings, tmp_path: Path
) -> None:
    buckets.use(lock="governance")
    hold_key(settings, tmp_path)
    path, settings.CUSTODY_ARCHIVE_IDENTITY = settings.CUSTODY_ARCHIVE_IDENTITY, ""
    make_events(execute, due=DUE)
    before = live()
    archive = archive_of("events", archive_days=TERM)
    for part in archive.parts.all():
        assert stored(part.file).startswith(b"age-encryption.org/v1\n")
    assert "rows were not counted" in said("archive_verify", archive.name)
    settings.CUSTODY_ARCHIVE_IDENTITY = path
    assert command("archive_verify", archive.name)[0] == 0
    code, document = restore(archive)
    assert (code, counts(document)) == (0, (DUE, 0, 0))
    assert live() == before


def test_what_goes_along_with_rows_is_locked_and_encrypted_like_them(
    execute: Execute, buckets: Buckets, settings: Settings, tmp_path: Path, person: User
) -> None:
    bucket = buckets.use(lock="compliance")
    key = hold_key(settings, tmp_path)
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, created_at timestamptz)")
    execute("CREATE TABLE app.lines (id int PRIMARY KEY, ordered int REFERENCES app.orders)")
    execute(
        "INSERT INTO app.orders SELECT n, now() - interval '900 days' FROM generate_series(1, 40) n"
    )
    execute("INSERT INTO app.lines SELECT n, 1 + n % 40 FROM generate_series(1, 120) n")
    execute("CREATE INDEX ON app.lines (ordered)")
    before = state("orders", "lines")
    run = ran(
        purge_run(policy=record_policy("orders", ["lines"], archive_days=TERM), requester=person)
    )
    assert_all_there(before)
    assert run.done == 160
    made = list(Archive.objects.order_by("id"))
    assert [each.table_name for each in made] == ["orders", "lines"]
    for archive in made:
        assert archive.recipients == [str(key.to_public())]
        assert set(bucket.locks(f"{archive.folder}/").values()) == {archive.expires_at}
        assert all(part.file.endswith(".age") for part in archive.parts.all())
        code, document = command("archive_verify", archive.name)
        assert (code, document["archives"][0]["problems"]) == (0, [])


@pytest.mark.parametrize("place", ["bucket", "folder"])
def test_where_nothing_can_be_locked_nothing_is_deleted(
    execute: Execute,
    buckets: Buckets,
    settings: Settings,
    person: User,
    place: str,
) -> None:
    folder = settings.CUSTODY_STORAGE
    bucket = buckets.use(lock="compliance", can_lock=False, versions=True)
    if place == "folder":
        settings.CUSTODY_STORAGE = folder
    make_events(execute, due=DUE)
    policy = make_policy(archive_days=TERM)
    before = live()
    run = purge_run(policy=policy, requester=person).run
    assert run is not None
    assert (run.state, run.done) == ("failed", 0)
    assert "object lock" in run.error
    assert "CUSTODY_OBJECT_LOCK=off" in run.error
    assert live() == before
    assert files() == set()
    assert bucket.versions() == []

    buckets.use(lock="compliance")
    assert ran(purge_run(policy=policy, requester=person)).pk == run.pk
    assert_whole(before)


def test_a_lock_that_is_not_what_was_asked_for_costs_no_row(
    execute: Execute,
    buckets: Buckets,
    monkeypatch: pytest.MonkeyPatch,
    person: User,
) -> None:
    buckets.use(lock="compliance")
    make_events(execute, due=DUE)
    policy = make_policy(archive_days=TERM)
    before = live()
    real = S3Place.call
    heard = 0

    def forgetful(place: S3Place, name: str, **arguments: Any) -> Any:
        """After a while the server says yes to locks and forgets them."""
        nonlocal heard
        heard += name == "put_object"
        if heard > 4 and name == "put_object":
            del arguments["ObjectLockMode"], arguments["ObjectLockRetainUntilDate"]
        if heard > 4 and name == "put_object_retention":
            return {}
        return real(place, name, **arguments)

    with monkeypatch.context() as patch:
        patch.setattr(S3Place, "call", forgetful)
        run = purge_run(policy=policy, requester=person).run
    assert run is not None
    assert run.state == "failed"
    assert "is not locked as COMPLIANCE until" in run.error
    assert 0 < run.done < DUE
    assert_whole(before, complete=False)
    ran(purge_run(policy=policy, requester=person))
    assert_whole(before)


def test_a_lock_that_cannot_be_lengthened_keeps_the_run_from_being_called_done(
    execute: Execute, buckets: Buckets, monkeypatch: pytest.MonkeyPatch, person: User
) -> None:
    buckets.use(lock="compliance")
    make_events(execute, due=DUE)
    policy = make_policy(archive_days=TERM)
    before = live()
    real = S3Place.call

    def refusing(place: S3Place, name: str, **arguments: Any) -> Any:
        return {} if name == "put_object_retention" else real(place, name, **arguments)

    def dawdle(run: Run) -> None:
        if run.state == "verifying":
            # So that the term ends later than the locks that the parts were put with.
            time.sleep(1.1)

    with monkeypatch.context() as patch:
        patch.setattr(S3Place, "call", refusing)
        run = purge_run(policy=policy, requester=person, on_progress=dawdle).run
    assert run is not None
    assert (run.state, run.done) == ("failed", DUE)
    assert "is not locked as COMPLIANCE until" in run.error
    assert Archive.objects.get().state == "open"
    assert not Certificate.objects.exists()
    ran(purge_run(policy=policy, requester=person))
    assert_whole(before)


def test_locks_that_are_turned_off_half_way_stay_on_what_has_them(
    execute: Execute,
    buckets: Buckets,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    person: User,
) -> None:
    bucket = buckets.use(lock="compliance")
    make_events(execute, due=DUE)
    policy = make_policy(archive_days=TERM)
    before = live()
    real = S3Place.call
    heard = 0

    def failing(place: S3Place, name: str, **arguments: Any) -> Any:
        nonlocal heard
        heard += name == "put_object"
        if heard > 4 and name == "put_object":
            raise ValueError("no")
        return real(place, name, **arguments)

    with monkeypatch.context() as patch:
        patch.setattr(S3Place, "call", failing)
        run = purge_run(policy=policy, requester=person).run
    assert run is not None
    assert (run.state, len(bucket.locks())) == ("failed", 4)
    settings.CUSTODY_OBJECT_LOCK = "off"
    archive = Archive.objects.get(run=ran(purge_run(policy=policy, requester=person)))
    assert_whole(before)
    locked = [until for until in bucket.locks().values() if until is not None]
    assert len(locked) == 4
    assert archive.locked_until is not None
    assert archive.expires_at is not None
    assert archive.locked_until <= archive.expires_at


def test_no_version_of_an_archive_survives_its_term(execute: Execute, buckets: Buckets) -> None:
    bucket = buckets.use(versions=True)
    make_events(execute, due=DUE)
    archive = past_its_term()
    bucket.mark_deleted(archive.parts.order_by("id")[0].file)
    assert command("archive_expire")[0] == 0
    assert_destroyed(archive)
    assert [path for path, _ in bucket.versions("archives/")] == [
        f"{archive.folder}/destroyed.json"
    ]

"""A purge into S3 whose worker is killed, and one whose storage hangs or is away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from django.contrib.auth.models import User

from operations.models import Run
from operations.storage.s3_place import S3Place
from retention.models import Archive, ArchivePart
from retention.services.purge_start import purge_run
from tests.s3_server import S3Server

from .archiving import command, counts, restore
from .crash import Nursery
from .expiring import assert_destroyed
from .hanging_proxy import HangingProxy
from .purging import assert_whole, files, known_files, live, make_events, make_policy, messages, ran
from .s3_bucket import Buckets
from .writing import EVERYTHING, Writer, assert_hardly_waited, assert_nothing_lost, stop

pytestmark = pytest.mark.usefixtures("governed", "small_batches")
Execute = Callable[..., list[tuple[Any, ...]]]
DUE = 600
TERM = 3650


@pytest.mark.parametrize("point", ["put", "landed in s3", "durable", "committed", "manifest"])
def test_killed_it_goes_on_and_ends_as_if_it_never_had_been(
    nursery: Nursery, execute: Execute, buckets: Buckets, point: str
) -> None:
    buckets.use()
    make_events(execute, due=DUE)
    make_policy(archive_days=TERM)
    before = live()
    worker = nursery.work(at=point, number=3 if point != "manifest" else 1)
    worker.wait_for(point)
    worker.kill()
    assert live() <= before
    assert nursery.work().end()["end"] == "succeeded"
    assert_whole(before)
    assert command("archive_verify")[0] == 0


@pytest.mark.parametrize("point", ["landed in s3", "certified"])
def test_killed_under_lock_what_cannot_be_removed_is_known_and_goes_with_the_archive(
    nursery: Nursery,
    execute: Execute,
    buckets: Buckets,
    point: str,
) -> None:
    bucket = buckets.use(lock="compliance")
    make_events(execute, due=DUE)
    make_policy(archive_days=TERM)
    before = live()
    worker = nursery.work(at=point, number=3 if point != "certified" else 1)
    worker.wait_for(point)
    worker.kill()
    assert nursery.work().end()["end"] == "succeeded"
    archive = Archive.objects.get()
    left = set(archive.run.result.get("leftovers", []))
    assert len(left) == (2 if point != "certified" else 0)
    assert files() == known_files() | left
    assert sum(part.rows for part in ArchivePart.objects.all()) == DUE
    assert archive.locked_until is not None
    now = datetime.now(UTC)
    assert all(
        until is not None and now < until <= archive.locked_until
        for until in bucket.locks("archives/").values()
    )
    code, document = command("archive_verify", archive.name)
    assert (code, document["archives"][0]["problems"]) == (0, [])
    assert ("2 files of attempts" in json.dumps(document)) == bool(left)
    code, document = restore(archive)
    assert (code, counts(document)) == (0, (DUE, 0, 0))
    assert live() == before

    bucket.time_passes()
    Archive.objects.update(expires_at=now, locked_until=now)
    assert command("archive_expire")[0] == 0
    body = assert_destroyed(archive)
    assert body["archives"][0]["files_left"] == []


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[HangingProxy]:
    made = HangingProxy(s3_server.host, s3_server.port)
    yield made
    made.close()


def test_writers_hardly_wait_while_s3_hangs_and_the_run_goes_on_afterwards(
    nursery: Nursery,
    execute: Execute,
    buckets: Buckets,
    proxy: HangingProxy,
    writers: Callable[[], list[Writer]],
) -> None:
    buckets.use(port=proxy.port)
    make_events(execute, due=2000)
    make_policy()
    proxy.hang.set()
    worker = nursery.work(pages=EVERYTHING)
    assert proxy.hanging.wait(60)
    busy = writers()
    # Longer than a step may last, shorter than the storage's own patience.
    time.sleep(5)
    assert worker.alive
    proxy.release()
    assert worker.end()["end"] == "succeeded"
    stop(busy)
    assert "did not take" in " ".join(messages(Run.objects.get())), "a step was given up"
    assert_hardly_waited(busy)
    assert_nothing_lost(execute, busy)


def test_s3_that_cannot_be_reached_for_a_moment_is_tried_again(
    execute: Execute, buckets: Buckets, monkeypatch: pytest.MonkeyPatch, person: User
) -> None:
    buckets.use()
    make_events(execute, due=DUE)
    policy = make_policy()
    before = live()
    real = S3Place.call
    tries = 0

    def away(place: S3Place, name: str, **arguments: Any) -> Any:
        nonlocal tries
        tries += name == "put_object"
        if name == "put_object" and tries in (3, 4, 5):
            raise EndpointConnectionError(endpoint_url="http://there")
        return real(place, name, **arguments)

    with monkeypatch.context() as patch:
        patch.setattr(S3Place, "call", away)
        run = ran(purge_run(policy=policy, requester=person))
    assert tries > 5
    assert any("Check the network" in said for said in messages(run))
    assert_whole(before)

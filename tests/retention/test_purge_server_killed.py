"""The database server is killed under a purge: no row is lost, none is in two places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.utils import InterfaceError, OperationalError

from config.embedded import EmbeddedPostgres
from operations.models import Run
from tests.own_server import kill_server, own_server

from .crash import Nursery, wait_until
from .purging import assert_whole, live, make_events, make_policy

pytestmark = pytest.mark.superuser
Execute = Callable[..., list[tuple[Any, ...]]]
DUE = 12_000


@pytest.fixture
def server(transactional_db: None) -> Iterator[EmbeddedPostgres]:
    """A server of this test's own, to which Django's connection goes meanwhile."""
    with own_server() as made:
        yield made


@pytest.fixture
def workers(server: EmbeddedPostgres, tmp_path: Path) -> Iterator[Nursery]:
    made = Nursery(tmp_path, server.url)
    yield made
    made.close()


def done() -> int:
    with suppress(OperationalError, InterfaceError):
        return Run.objects.values_list("done", flat=True).first() or 0
    connection.close()
    return 0


def test_killed_with_the_server_again_and_again_the_purge_ends_whole(
    server: EmbeddedPostgres, workers: Nursery, execute: Execute
) -> None:
    execute("CREATE SCHEMA app")
    make_events(execute, due=DUE)
    make_policy()
    before = live()
    reached = 0
    for survives in (True, False, True, False, True):
        worker = workers.work()
        wait_until(lambda at=reached: done() > at, "a step")
        kill_server(server)
        if not survives:
            worker.kill()
        server.hold()
        run = Run.objects.get()
        assert reached < run.done < DUE
        if survives:
            # It connects again by itself, and goes on.
            wait_until(lambda at=run.done: done() > at, "a step on the new server")
            assert worker.alive
            assert Run.objects.get().fence == run.fence
            worker.kill()
        reached = done()
        assert reached < DUE
    assert workers.work(pages=1000).end()["end"] == "succeeded"
    assert Run.objects.get().done == DUE
    assert_whole(before)


def test_the_server_killed_while_a_part_waits_for_its_commit(
    server: EmbeddedPostgres, workers: Nursery, execute: Execute
) -> None:
    execute("CREATE SCHEMA app")
    make_events(execute, due=1000)
    make_policy()
    before = live()
    worker = workers.work(at="durable", number=2, seconds=0.5)
    worker.wait_for("durable")
    kill_server(server)
    server.hold()
    assert worker.end()["end"] == "succeeded"
    assert_whole(before)

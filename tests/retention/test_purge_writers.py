"""The application goes on writing during a purge: it hardly waits, and loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from operations.models import Run

from .crash import Nursery, wait_until
from .purging import make_events, make_policy
from .writing import DUE, EVERYTHING, Writer, assert_hardly_waited, assert_nothing_lost, stop

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.mark.parametrize("pages", [20, EVERYTHING])
def test_writers_hardly_wait_for_a_purge_and_lose_nothing(
    nursery: Nursery, execute: Execute, writers: Callable[[], list[Writer]], pages: int
) -> None:
    make_events(execute, due=DUE)
    make_policy()
    busy = writers()
    worker = nursery.work(pages=pages)
    assert worker.end()["end"] == "succeeded"
    stop(busy)
    assert_hardly_waited(busy)
    assert_nothing_lost(execute, busy)


@pytest.mark.parametrize("point", ["drafting", "writing", "flushing"])
def test_writers_hardly_wait_while_the_storage_hangs(
    nursery: Nursery, execute: Execute, writers: Callable[[], list[Writer]], point: str
) -> None:
    make_events(execute, due=DUE)
    make_policy()
    worker = nursery.work(pages=EVERYTHING, at=point, seconds=5)
    worker.wait_for(point)
    busy = writers()
    assert worker.end()["end"] == "succeeded"
    stop(busy)
    assert "did not take" in " ".join(Run.objects.get().events.values_list("message", flat=True)), (
        "a step was given up"
    )
    assert_hardly_waited(busy)
    assert_nothing_lost(execute, busy)


@pytest.mark.parametrize("point", ["stepping", "copying", "durable"])
def test_writers_hardly_wait_for_a_worker_that_was_stopped(
    nursery: Nursery, execute: Execute, writers: Callable[[], list[Writer]], point: str
) -> None:
    make_events(execute, due=DUE)
    execute("UPDATE app.events SET raw = decode(repeat(md5(id::text), 100), 'hex')")
    make_policy()
    worker = nursery.work(pages=EVERYTHING, at=point, then="stop")
    worker.wait_stopped()
    busy = writers()
    # Nobody takes the run over: its lease is long. The server frees the rows by itself.
    wait_until(lambda: all(len(writer.kinds) > 20 for writer in busy), "writers go on")
    assert worker.state == "T"
    worker.go_on()
    assert worker.end()["end"] == "succeeded"
    stop(busy)
    assert Run.objects.get().fence == 1
    assert_hardly_waited(busy)
    assert_nothing_lost(execute, busy)

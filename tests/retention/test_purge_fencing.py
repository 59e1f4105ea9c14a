"""A worker that was stopped past its lease while another finished commits nothing afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from operations.models import Run

from .crash import Nursery, wait_until
from .purging import assert_whole, files, live, make_events, make_policy

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]
LEASE = 1
DUE = 1500


def everything(execute: Execute) -> list[Any]:
    """All that a worker could change, in the database and in the storage."""
    tables = (
        "operations_run",
        "operations_runevent",
        "operations_certificate",
        "operations_alert",
        "retention_archive",
        "retention_archivepart",
    )
    rows = [execute(f"SELECT t::text FROM custody.{table} t ORDER BY 1") for table in tables]
    return [rows, live(), sorted(files(""))]


def make_wide(execute: Execute) -> None:
    """More in one batch than the sockets between server and worker take."""
    execute(
        "UPDATE app.events SET payload = (SELECT jsonb_agg(md5(n::text || id))"
        " FROM generate_series(1, 100) n)"
    )


@pytest.mark.parametrize(
    ("point", "number"),
    [
        ("stepping", 3),
        ("copying", 4),
        ("drafting", 5),
        ("flushing", 3),
        ("landed", 2),
        ("durable", 2),
        ("committed", 2),
    ],
)
def test_stopped_past_its_lease_it_commits_nothing_when_it_goes_on(
    nursery: Nursery, execute: Execute, point: str, number: int
) -> None:
    make_events(execute, due=DUE)
    make_policy()
    before = live()
    first = nursery.work(at=point, number=number, then="stop", lease=LEASE)
    first.wait_stopped()
    assert 0 < Run.objects.get().done < DUE
    assert nursery.work().end()["end"] == "succeeded"
    after = everything(execute)
    assert (Run.objects.get().fence, Run.objects.get().done) == (2, DUE)
    first.go_on()
    assert "Traceback" not in first.out.read_text()
    assert first.end()["end"] == "succeeded", "it tells what the other one made of the run"
    assert everything(execute) == after
    assert_whole(before)


def test_stopped_in_the_middle_of_a_copy_that_fills_its_socket_it_is_taken_over(
    nursery: Nursery, execute: Execute
) -> None:
    make_events(execute, due=DUE)
    make_wide(execute)
    make_policy()
    before = live()
    first = nursery.work(at="copying", then="stop", lease=LEASE, pages=10_000)
    first.wait_stopped()
    wait_until(lambda: blocked_sessions(execute), "the server waits for the stopped worker")
    wait_until(lambda: not blocked_sessions(execute), "the server freed the rows")
    assert nursery.work().end()["end"] == "succeeded"
    after = everything(execute)
    first.go_on()
    first.end()
    assert everything(execute) == after
    assert_whole(before)


def test_a_write_that_hangs_while_the_run_is_lost_leaves_no_file(
    nursery: Nursery, execute: Execute
) -> None:
    make_events(execute, due=DUE)
    make_policy()
    before = live()
    worker = nursery.work(at="flushing", number=3, seconds=3)
    worker.wait_for("flushing")
    execute("UPDATE custody.operations_run SET fence = fence + 1, worker = 'another'")
    assert worker.end()["end"] == "running", "another worker's by now"
    assert_whole(before, complete=False)


def blocked_sessions(execute: Execute) -> list[tuple[Any, ...]]:
    return execute(
        "SELECT a.pid FROM pg_stat_activity a WHERE a.datname = current_database()"
        " AND a.wait_event = 'ClientWrite'"
    )


def test_a_run_of_a_living_worker_is_not_taken(nursery: Nursery, execute: Execute) -> None:
    make_events(execute, due=DUE)
    make_policy()
    before = live()
    # Its lease is renewed while it waits, though it is shorter than the wait.
    first = nursery.work(at="committed", number=2, seconds=4, lease=LEASE)
    first.wait_for("committed")
    second = nursery.work(lease=LEASE)
    assert first.end()["end"] == "succeeded"
    second.end()
    assert Run.objects.get().fence == 1
    assert_whole(before)
    assert connection.in_atomic_block is False

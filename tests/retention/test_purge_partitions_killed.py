"""Killed at every stage of a partition's way out, the purge ends as if it never had been."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User

from config.embedded import EmbeddedPostgres
from operations.models import Certificate, Run
from operations.selectors.runs import runs_with_dead_lease
from operations.services.run_execute import run_execute
from operations.services.runs import run_cancel, run_pause, run_resume
from retention.services import partition_back, partition_copy, partition_phase
from retention.services.purge_start import purge_run

from .crash import Nursery, wait_until
from .partitioned import TABLE, Execute, dropped, make_hits, shape, tables
from .purging import assert_whole, files, known_files, live, make_policy
from .test_purge_server_killed import kill_server, server, workers

__all__ = ["server", "workers"]
STAGES = ["detaching", "detached", "guarded", "copied", "dropped", "known", "committed"]


@pytest.mark.usefixtures("governed")
@pytest.mark.parametrize("archive", [True, False])
def test_killed_at_every_stage_it_ends_whole(
    nursery: Nursery, execute: Execute, archive: bool
) -> None:
    make_hits(execute)
    make_policy("hits", archive=archive)
    before = live(TABLE)
    stages = [stage for stage in STAGES if archive or stage != "copied"]
    for stage in stages:
        worker = nursery.work("hits", at=stage, pages=1)
        worker.wait_for(stage)
        worker.kill()
    assert nursery.work("hits", pages=1).end()["end"] == "succeeded"
    run = Run.objects.get()
    assert (run.state, run.done, run.fence) == ("succeeded", 1600, len(stages) + 1)
    assert set(dropped(run).values()) == {400}
    assert len(dropped(run)) == 4
    assert tables(execute) == ["hits", "hits_2099"]
    assert Certificate.objects.get().body["body"]["tables"] == [{"table": TABLE, "rows": 1600}]
    if archive:
        assert_whole(before, table=TABLE)


@pytest.mark.usefixtures("governed")
def test_killed_while_postgresql_waits_to_detach_the_next_worker_finishes_it(
    nursery: Nursery, execute: Execute, other_session: Callable[[], psycopg.Connection]
) -> None:
    make_hits(execute)
    make_policy("hits")
    before = live(TABLE)
    reader = other_session()
    worker = nursery.work("hits", at="detaching", seconds=1)
    worker.wait_for("detaching")
    # Its look at who uses the table is over.
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM app.hits")
    waiting = "SELECT 1 FROM pg_inherits WHERE inhdetachpending"
    wait_until(lambda: execute(waiting), "half detached")
    worker.kill()
    assert execute("SELECT count(*) FROM app.hits WHERE created_at < '2019-01-01'") == [(0,)]
    reader.execute("COMMIT")
    assert nursery.work("hits").end()["end"] == "succeeded"
    assert len(dropped(Run.objects.get())) == 4
    assert_whole(before, table=TABLE)


@pytest.mark.usefixtures("governed")
@pytest.mark.parametrize("stage", ["detached", "guarded", "copied", "dropped"])
def test_killed_and_cancelled_it_is_a_partition_as_before(
    nursery: Nursery, execute: Execute, person: User, stage: str
) -> None:
    make_hits(execute)
    make_policy("hits")
    before, shaped = live(TABLE), shape(execute)
    worker = nursery.work("hits", at=stage, number=2, pages=1)
    worker.wait_for(stage)
    worker.kill()
    gone = {table for table, *_ in shaped} - set(tables(execute))
    pk = Run.objects.get().pk
    wait_until(lambda: runs_with_dead_lease(run_id=pk), "its session has ended, too")
    run = run_cancel(run_id=pk, actor=person)
    assert (run.state, run.done) == ("cancelled", 400 * len(gone))
    assert shape(execute) == [each for each in shaped if each[0] not in gone]
    assert_whole(before, table=TABLE, complete=bool(gone))


@pytest.mark.usefixtures("governed", "small_batches")
def test_a_cancel_that_did_not_come_to_its_commit_loses_nothing(
    execute: Execute, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts were removed with it, so the rows are copied again."""
    monkeypatch.setattr(partition_phase, "PAGES", (1, 1, 1))
    monkeypatch.setattr(partition_copy, "MORE_SECONDS", 0)
    make_hits(execute)
    before = live(TABLE)

    def pause(run: Run) -> None:
        if len(run.cursor["partitions"]["parts"]) == 2:
            run_pause(run_id=run.pk, actor=person)

    run = purge_run(policy=make_policy("hits"), requester=person, on_progress=pause).run
    assert run is not None
    assert run.state == "paused"
    remove = partition_back.discard

    def cut(paths: Any) -> None:
        remove(paths)
        raise ConnectionError("the power went")

    monkeypatch.setattr(partition_back, "discard", cut)
    with pytest.raises(ConnectionError):
        run_cancel(run_id=run.pk, actor=person)
    monkeypatch.setattr(partition_back, "discard", remove)
    assert Run.objects.get().state == "paused"
    assert files() == known_files(complete=False)
    run_resume(run_id=run.pk, actor=person)
    run = run_execute(run_id=run.pk)
    assert (run.state, len(dropped(run))) == ("succeeded", 4)
    assert_whole(before, table=TABLE)


def test_the_server_killed_at_every_stage(
    server: EmbeddedPostgres, workers: Nursery, execute: Execute
) -> None:
    execute("CREATE SCHEMA app")
    make_hits(execute)
    make_policy("hits")
    before = live(TABLE)
    for stage in ("detached", "guarded", "dropped", "known"):
        worker = workers.work("hits", at=stage, pages=1)
        worker.wait_for(stage)
        kill_server(server)
        worker.kill()
        server.hold()
    worker = workers.work("hits", at="copied", number=2, pages=1, seconds=0.5)
    worker.wait_for("copied")
    kill_server(server)
    server.hold()
    # This one connects again by itself.
    assert worker.end()["end"] == "succeeded"
    assert Run.objects.get().done == 1600
    assert tables(execute) == ["hits", "hits_2099"]
    assert_whole(before, table=TABLE)

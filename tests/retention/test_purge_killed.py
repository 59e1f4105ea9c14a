"""The purge is killed at every kind of moment, and ends as if it never had been."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from operations.models import Certificate, Run
from retention.models import Archive

from .crash import ROOT, Nursery, Worker, environment, wait_until
from .purging import assert_whole, files, known_files, live, make_events, make_policy

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]
DUE = 20_000


def the_run() -> Run:
    return Run.objects.get()


def done() -> int:
    return Run.objects.values_list("done", flat=True).first() or 0


@pytest.fixture
def slow_commit(execute: Execute) -> Iterator[Callable[[float], None]]:
    """Makes each COMMIT that holds a new part last so many seconds."""
    execute("CREATE TABLE app.slow (seconds float)")
    execute("INSERT INTO app.slow VALUES (0)")
    execute(
        "CREATE FUNCTION app.be_slow() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(seconds) FROM app.slow; RETURN NULL; END'"
    )
    execute(
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON custody.retention_archivepart"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.be_slow()"
    )
    yield lambda seconds: execute("UPDATE app.slow SET seconds = %s", [seconds]) and None
    execute("DROP TRIGGER slow ON custody.retention_archivepart")


def committing(execute: Execute) -> bool:
    return bool(
        execute(
            "SELECT 1 FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event = 'PgSleep'"
            " AND datname = current_database()"
        )
    )


def working(nursery: Nursery) -> Worker:
    """A worker that has taken the run: what its forerunner still committed is committed."""
    fence = Run.objects.values_list("fence", flat=True).first() or 0
    worker = nursery.work()
    wait_until(lambda: (Run.objects.values_list("fence", flat=True).first() or 0) > fence, "taken")
    return worker


def kill_any_moment(nursery: Nursery, _slow: Any, _execute: Execute, dice: random.Random) -> Worker:
    worker = working(nursery)
    before = done()
    wait_until(lambda: done() > before, "a step")
    time.sleep(dice.uniform(0, 0.06))
    worker.kill()
    return worker


def kill_while_copying(
    nursery: Nursery, _slow: Any, _execute: Execute, dice: random.Random
) -> Worker:
    worker = nursery.work(at="copying", number=dice.randrange(5, 15))
    worker.wait_for("copying")
    worker.kill()
    return worker


def kill_between_fsync_and_commit(
    nursery: Nursery, _slow: Any, _execute: Execute, dice: random.Random
) -> Worker:
    worker = nursery.work(at="durable", number=dice.randrange(2, 4))
    worker.wait_for("durable")
    on_disk, known = files(), known_files(complete=False)
    assert len(on_disk - known) == 2, "a part and its sidecar that the database does not know"
    worker.kill()
    return worker


def kill_during_commit(
    nursery: Nursery, slow: Callable[[float], None], execute: Execute, dice: random.Random
) -> Worker:
    slow(0.5)
    worker = working(nursery)
    before = done()
    wait_until(lambda: done() > before and committing(execute), "a slow COMMIT")
    worker.kill()
    assert committing(execute), "the server still commits for a worker that is gone"
    slow(0)
    return worker


KILLS = (
    [kill_any_moment] * 15
    + [kill_while_copying] * 5
    + [kill_between_fsync_and_commit] * 5
    + [kill_during_commit] * 5
)


def test_killed_thirty_times_every_row_is_live_or_in_exactly_one_part(
    nursery: Nursery, execute: Execute, slow_commit: Callable[[float], None]
) -> None:
    make_events(execute, due=DUE)
    make_policy()
    before = live()
    dice = random.Random(18)
    kills = list(KILLS)
    dice.shuffle(kills)
    reached = 0
    for kill in kills:
        worker = kill(nursery, slow_commit, execute, dice)
        assert not worker.alive
        assert reached < done() < DUE, kill.__name__
        assert the_run().total == DUE
        reached = done()
    # The last one is the command, as an operator types it.
    ended = subprocess.run(
        [sys.executable, "manage.py", "purge_run", "events", "--json", "--no-input"],
        cwd=ROOT,
        env=environment(nursery.database_url),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["run"]["state"] == "succeeded"
    run = the_run()
    assert (run.state, run.done) == ("succeeded", DUE)
    assert run.fence == len(KILLS) + 1
    assert sum(live().values()) == sum(before.values()) - DUE
    assert_whole(before)
    archive = Archive.objects.get()
    assert (archive.rows, archive.state) == (DUE, "complete")
    certificate = Certificate.objects.get()
    assert certificate.body["body"]["tables"] == [{"table": "app.events", "rows": DUE}]
    assert files("certificates") == {certificate.json_path, certificate.pdf_path}


@pytest.mark.parametrize("moment", ["verifying", "manifest", "certified"])
def test_killed_while_it_is_closed_it_has_one_manifest_and_one_certificate(
    nursery: Nursery, execute: Execute, moment: str
) -> None:
    make_events(execute, due=300)
    make_policy()
    before = live()
    for _ in range(2):
        worker = nursery.work(at=moment)
        worker.wait_for(moment)
        worker.kill()
        assert the_run().state == "verifying"
    assert nursery.work().end()["end"] == "succeeded"
    assert_whole(before)
    certificate = Certificate.objects.get()
    assert files("certificates") == {certificate.json_path, certificate.pdf_path}
    assert connection.in_atomic_block is False

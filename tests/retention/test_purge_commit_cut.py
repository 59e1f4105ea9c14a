"""The connection is cut exactly during a COMMIT: the batch is neither lost nor done twice."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from operations.models import Certificate, Run
from retention.services.purge_start import purge_run

from .crash import wait_until
from .cutting_proxy import CuttingProxy
from .purging import assert_whole, live, make_events, make_policy, ran

pytestmark = pytest.mark.usefixtures("governed", "small_batches")
Execute = Callable[..., list[tuple[Any, ...]]]
DUE = 600


@pytest.fixture
def proxy(transactional_db: None) -> Iterator[CuttingProxy]:
    """Django's connection goes through it."""
    usual = dict(connection.settings_dict)
    connection.close()
    with tempfile.TemporaryDirectory(prefix="custody-test-") as folder:
        made = CuttingProxy(Path(folder), host=usual["HOST"], port=str(usual["PORT"]))
        connection.settings_dict.update(HOST=folder, PORT=made.port)
        yield made
        connection.close()
        connection.settings_dict.update(usual)
        made.close()


def in_the_middle(run: Run) -> bool:
    return 100 < run.done < DUE


def at_the_last_step(run: Run) -> bool:
    return run.done == DUE and run.state == "running"


def at_the_close(run: Run) -> bool:
    return run.state == "verifying"


@dataclass(frozen=True)
class Case:
    moment: Callable[[Run], bool]
    cut: Literal["before", "after"]
    archive: bool

    def __str__(self) -> str:
        return f"{self.moment.__name__}-{self.cut}{'' if self.archive else '-unarchived'}"


MOMENTS = (in_the_middle, at_the_last_step, at_the_close)
CASES = [
    Case(moment, cut, archive)
    for moment in MOMENTS
    for cut in get_args(Literal["before", "after"])
    for archive in (True, False)
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_commit_whose_answer_never_came(
    execute: Execute, person: User, proxy: CuttingProxy, case: Case
) -> None:
    # Nothing but what is due: the last step finds no more pages and moves nothing.
    make_events(execute, due=DUE, fresh=0, ageless=0)
    policy = make_policy(archive=case.archive)
    before = live()

    def arm(run: Run) -> None:
        if case.moment(run) and not proxy.cuts:
            proxy.cut = case.cut

    run = ran(purge_run(policy=policy, requester=person, on_progress=arm))
    assert proxy.cuts == 1
    assert (run.done, run.fence) == (DUE, 1)
    assert sum(live().values()) == sum(before.values()) - DUE
    assert Certificate.objects.count() == 1
    if case.archive:
        assert_whole(before)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_ctrl_c_during_a_commit_costs_no_part_of_rows_that_are_gone(
    execute: Execute, person: User, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    make_events(execute, due=DUE)
    policy = make_policy()
    before = live()
    original = BaseDatabaseWrapper._commit
    armed: list[int] = []

    def interrupted(self: BaseDatabaseWrapper) -> Any:
        if not armed:
            return original(self)
        armed.clear()
        if moment == "after":
            original(self)
        raise KeyboardInterrupt

    def arm(run: Run) -> None:
        if in_the_middle(run) and not armed:
            armed.append(run.done)

    monkeypatch.setattr(BaseDatabaseWrapper, "_commit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        purge_run(policy=policy, requester=person, on_progress=arm)
    assert Run.objects.get().state == "paused"
    assert_whole(before, complete=False)
    ran(purge_run(policy=policy, requester=person))
    assert_whole(before)


def test_a_session_that_is_ended_during_a_slow_commit(
    execute: Execute, person: User, other_session: Callable[[], psycopg.Connection]
) -> None:
    make_events(execute, due=DUE)
    execute(
        "CREATE FUNCTION app.be_slow() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN IF (SELECT count(*) FROM app.ended) = 0 THEN"
        " PERFORM pg_catalog.pg_sleep(1); END IF; RETURN NULL; END'"
    )
    execute("CREATE TABLE app.ended (pid int)")
    execute(
        "CREATE CONSTRAINT TRIGGER slow AFTER DELETE ON app.events DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW WHEN (old.id = 300) EXECUTE FUNCTION app.be_slow()"
    )
    policy = make_policy()
    before = live()
    watcher = other_session()

    def end() -> None:
        wait_until(
            lambda: watcher.execute(
                "INSERT INTO app.ended SELECT a.pid FROM pg_stat_activity a"
                " WHERE a.query = 'COMMIT' AND a.wait_event = 'PgSleep'"
                " AND a.datname = current_database() RETURNING pid"
            ).fetchall(),
            "a slow COMMIT",
        )
        watcher.execute("SELECT pg_terminate_backend(pid) FROM app.ended")

    thread = threading.Thread(target=end)
    thread.start()
    run = ran(purge_run(policy=policy, requester=person))
    thread.join()
    assert run.done == DUE
    assert_whole(before)

"""Rows that other rows refer to are kept; what a delete would take along is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection

from retention.services.purge_start import purge_run

from .crash import wait_until
from .purging import assert_whole, live, make_events, make_policy, ran

pytestmark = pytest.mark.usefixtures("governed", "small_batches")
Execute = Callable[..., list[tuple[Any, ...]]]
RULES = ["NO ACTION", "RESTRICT", "NO ACTION DEFERRABLE INITIALLY DEFERRED"]


@pytest.mark.parametrize("rule", RULES)
def test_rows_that_are_referred_to_are_kept(execute: Execute, person: User, rule: str) -> None:
    make_events(execute, due=300)
    execute(f"CREATE TABLE app.notes (event bigint REFERENCES app.events ON DELETE {rule})")
    execute("INSERT INTO app.notes VALUES (5), (5), (150), (NULL)")
    policy = make_policy()
    before = live()
    run = ran(purge_run(policy=policy, requester=person))
    assert (run.done, run.plan["referenced"]) == (298, 2)
    assert execute("SELECT id FROM app.events WHERE id <= 300 ORDER BY 1") == [(5,), (150,)]
    assert_whole(before)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("archive", [True, False])
def test_a_reference_that_is_committed_while_the_purge_waits_for_it_keeps_its_row(
    execute: Execute,
    person: User,
    other_session: Callable[[], psycopg.Connection],
    rule: str,
    archive: bool,
) -> None:
    make_events(execute, due=300)
    execute(f"CREATE TABLE app.notes (event bigint REFERENCES app.events ON DELETE {rule})")
    policy = make_policy(archive=archive)
    before = live()
    writer, watcher = other_session(), other_session()
    writer.autocommit = False
    writer.execute("INSERT INTO app.notes VALUES (5)")
    writer.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def commit_when_waited_for() -> None:
        query = "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        wait_until(lambda: watcher.execute(query).fetchone(), "the purge waits")
        writer.commit()

    thread = threading.Thread(target=commit_when_waited_for)
    thread.start()
    run = ran(purge_run(policy=policy, requester=person))
    thread.join()
    assert run.done == 299
    assert execute("SELECT id FROM app.events WHERE id <= 300") == [(5,)]
    if archive:
        assert_whole(before)


@pytest.mark.parametrize("rule", ["CASCADE", "SET NULL", "SET DEFAULT"])
def test_what_a_delete_would_take_along_or_change_is_refused_with_3(
    execute: Execute, person: User, rule: str
) -> None:
    make_events(execute, due=300)
    execute(f"CREATE TABLE app.notes (event bigint REFERENCES app.events ON DELETE {rule})")
    make_policy()
    before = live()
    for arguments in ([], ["--dry-run"]):
        with pytest.raises(CommandError) as refused:
            call_command("purge_run", "events", *arguments)
        assert refused.value.returncode == 3
    assert live() == before


def test_rows_of_one_table_that_refer_to_each_other_go_from_the_leaves_up(
    execute: Execute, person: User
) -> None:
    execute(
        "CREATE TABLE app.posts (id int PRIMARY KEY, reply_to int REFERENCES app.posts,"
        " created_at timestamptz DEFAULT now() - interval '9 years')"
    )
    # Threads of three; one has a fresh reply.
    execute("INSERT INTO app.posts SELECT n FROM generate_series(1, 300) n")
    execute("UPDATE app.posts SET reply_to = id - 1 WHERE id % 3 <> 1")
    execute("UPDATE app.posts SET created_at = now() WHERE id = 300")
    policy = make_policy("posts")
    before = live("app.posts")
    # What is counted is what goes: a row that is referred to when a run is planned is for the next.
    assert [ran(purge_run(policy=policy, requester=person)).done for _ in range(4)] == [
        99,
        99,
        99,
        0,
    ]
    assert execute("SELECT id FROM app.posts ORDER BY 1") == [(298,), (299,), (300,)]
    assert_whole(before, table="app.posts")
    assert connection.in_atomic_block is False

"""A restore can be killed at any instant and started again; every row is back once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg.conninfo import make_conninfo

from operations.models import Run
from retention.models import Archive
from retention.services import archive_restore
from retention.services.restore_work import RestoreWork

from .archiving import OLD, archive_of, counts, restore
from .crash import ROOT, environment, wait_until
from .purging import live, make_events

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]
SLOW = """
CREATE OR REPLACE FUNCTION app.slow() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(0.001); RETURN new; END $$
"""


def process(archive: Archive) -> subprocess.Popen[str]:
    database = connection.settings_dict
    parts = {
        "dbname": "NAME",
        "user": "USER",
        "password": "PASSWORD",
        "host": "HOST",
        "port": "PORT",
    }
    url = make_conninfo("", **{key: database[name] or None for key, name in parts.items()})
    return subprocess.Popen(
        [sys.executable, "manage.py", "archive_restore", archive.name, "--json"],
        cwd=ROOT,
        env=environment(url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def slow_inserts(execute: Execute, table: str) -> None:
    """So slow that the first slice is too large for its time, and there is time for killing."""
    execute(SLOW)
    execute(
        f"CREATE TRIGGER slow BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION app.slow()"
    )


def done() -> int:
    run = Run.objects.filter(kind="archive_restore").first()
    return run.done if run else 0


def kill_further_on(archive: Archive) -> None:
    before = done()
    worker = process(archive)
    wait_until(lambda: done() > before or worker.poll() is not None, "a step further")
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    assert worker.returncode == -signal.SIGKILL
    assert before < done() < archive.rows


def kill_and_finish(archive: Archive, kills: int) -> dict[str, Any]:
    """Kills so often, each time further on and before the end; then lets it end."""
    for _ in range(kills):
        kill_further_on(archive)
    with connection.cursor() as cursor:
        # There is no more killing for which time would have to be.
        cursor.execute(SLOW.replace("PERFORM pg_sleep(0.001);", ""))
    worker = process(archive)
    out, errors = worker.communicate(timeout=120)
    assert worker.returncode == 0, errors
    assert Run.objects.filter(kind="archive_restore").count() == 1
    document: dict[str, Any] = json.loads(out)
    return document


def test_killed_again_and_again_it_ends_with_every_row_back(execute: Execute) -> None:
    make_events(execute, due=2500)
    before = live()
    archive = archive_of("events")
    slow_inserts(execute, "app.events")
    document = kill_and_finish(archive, 2)
    assert (document["restored"], document["already_there"]) == (2500, 0)
    assert live() == before


def test_without_a_key_no_copy_goes_back_twice(execute: Execute) -> None:
    execute("CREATE TABLE app.hits (created_at timestamptz, page text)")
    fill = f"INSERT INTO app.hits SELECT {OLD}, 'page ' || mod(n, 7) FROM generate_series(1, %s) n"
    execute(fill, [2500])
    archive = archive_of("hits")
    execute(fill, [700])
    slow_inserts(execute, "app.hits")
    document = kill_and_finish(archive, 1)
    assert (document["restored"], document["already_there"]) == (1800, 700)
    assert sorted(live("app.hits").values()) == [357, 357, 357, 357, 357, 357, 358]


def test_a_lost_session_costs_only_the_stage(
    execute: Execute,
    other_session: Callable[[], psycopg.Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_events(execute, due=300)
    before = live()
    archive = archive_of("events")
    lock = RestoreWork.lock_against_ddl
    calls = 0

    def cut(work: RestoreWork) -> None:
        nonlocal calls
        calls += 1
        lock(work)
        if calls in (2, 3):
            pid = execute("SELECT pg_backend_pid()")[0][0]
            other_session().execute("SELECT pg_terminate_backend(%s)", [pid])

    monkeypatch.setattr(RestoreWork, "lock_against_ddl", cut)
    monkeypatch.setattr(archive_restore, "_ROWS", (40, 1, 40))
    monkeypatch.setattr(archive_restore, "AGAIN_SECONDS", 0)
    code, document = restore(archive)
    assert (code, counts(document)) == (0, (300, 0, 0))
    assert calls > 3
    assert live() == before


def test_a_row_that_the_application_is_writing_is_waited_for_and_kept(
    execute: Execute,
    other_session: Callable[[], psycopg.Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_events(execute, due=100)
    archive = archive_of("events")
    application = other_session()
    application.autocommit = False
    application.execute("INSERT INTO app.events (id, kind) VALUES (7, 'mine')")

    def recovered(*_: Any) -> None:
        application.commit()

    monkeypatch.setattr(archive_restore.ArchiveRestore, "recovered", recovered)
    code, document = restore(archive)
    assert (code, counts(document)) == (3, (99, 0, 1))
    assert execute("SELECT kind FROM app.events WHERE id = 7") == [("mine",)]
    assert "lock timeout" in str(list(Run.objects.get(kind="archive_restore").events.all()))

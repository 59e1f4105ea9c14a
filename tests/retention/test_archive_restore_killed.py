"""A restore can be killed at any instant and started again; every row is back once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from psycopg.conninfo import make_conninfo

from operations.models import Run
from retention.models import Archive

from .archiving import OLD, archive_of
from .crash import ROOT, environment, wait_until
from .purging import live, make_events

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]
KILLS = 2


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
    execute(
        "CREATE FUNCTION app.slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.001); RETURN new; END $$"
    )
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


def kill_and_finish(archive: Archive) -> dict[str, Any]:
    """Kills several times, each time further on and before the end; then lets it end."""
    for _ in range(KILLS):
        kill_further_on(archive)
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
    document = kill_and_finish(archive)
    assert (document["restored"], document["already_there"]) == (2500, 0)
    assert live() == before


def test_without_a_key_no_copy_goes_back_twice(execute: Execute) -> None:
    execute("CREATE TABLE app.hits (created_at timestamptz, page text)")
    fill = f"INSERT INTO app.hits SELECT {OLD}, 'page ' || mod(n, 7) FROM generate_series(1, %s) n"
    execute(fill, [2500])
    archive = archive_of("hits")
    execute(fill, [700])
    slow_inserts(execute, "app.hits")
    document = kill_and_finish(archive)
    assert (document["restored"], document["already_there"]) == (1800, 700)
    assert sorted(live("app.hits").values()) == [357, 357, 357, 357, 357, 357, 358]

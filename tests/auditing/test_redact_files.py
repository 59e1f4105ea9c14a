"""After VACUUM FULL a redacted value is in no file of the cluster."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from auditing.models import RedactedValue
from auditing.services.baseline import baseline_run
from auditing.services.track import table_track

from .redacting import broken, found_in, redacted

pytestmark = [pytest.mark.sql, pytest.mark.superuser, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]
ROWS = 1_000
SECRET = uuid.uuid4().hex
"""Of this test alone: other databases of the cluster have tests of their own."""


def files_with(folder: Path, value: bytes) -> set[str]:
    """Files of the cluster that have these bytes; but for the write-ahead log, which keeps what
    was written until its segments are used again, and which no command can empty."""
    found = set()
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "pg_wal"]
        for name in names:
            path = Path(root) / name
            try:
                if value in path.read_bytes():
                    found.add(str(path.relative_to(folder)))
            except FileNotFoundError:
                continue
    return found


def test_a_thousand_redacted_rows_are_in_no_file_after_vacuum_full(
    execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.people (id int PRIMARY KEY, email text, name text)")
    execute(
        f"INSERT INTO app.people SELECT n, '{SECRET}-' || n, 'n' FROM generate_series(1, {ROWS}) n"
    )
    tracked = table_track("app.people", actor=person, reason="the law")
    baseline_run(tracked, requester=person)
    execute("UPDATE app.people SET name = 'm'")
    execute("UPDATE app.people SET email = NULL")
    execute("ANALYZE")
    execute("CHECKPOINT")
    [(directory,)] = execute("SHOW data_directory")
    assert files_with(Path(directory), SECRET.encode())
    run = redacted(person, "app.people", "email", where="id > 0", vacuum_full=True)
    assert run.result["values"] == RedactedValue.objects.count() == 2 * ROWS
    assert found_in(SECRET) == set()
    assert not broken()
    month = execute("SELECT 'history.app__people_p' || to_char(now(), 'YYYYMM')")[0][0]
    assert month in run.result["space"]["rewritten"]
    # The application's own table, and what the planner knew of it.
    connection.close()
    execute("VACUUM FULL")
    execute("CHECKPOINT")
    assert files_with(Path(directory), SECRET.encode()) == set()
    assert not broken()

"""The console lives in a database whose `public` belongs to another Django project."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config.embedded import EmbeddedPostgres

from .console import Console, execute, program
from .embedded_place import SETTINGS

pytestmark = pytest.mark.superuser
VISITS = """
CREATE TABLE public.visits (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id integer REFERENCES public.auth_user,
    page text NOT NULL,
    created_at timestamptz NOT NULL
)
"""
POLICY = """
- table: visits
  retentionDays: 30
  softDelete: false
  archiveBeforeDelete: true
  excludeCondition: page = '/kept'
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    version = int(os.environ.get("CUSTODY_TEST_POSTGRES", "18"))
    server = EmbeddedPostgres(tmp_path / "pg", version=version, settings=SETTINGS, sync=False)
    server.hold()
    yield server
    server.release()


@pytest.fixture
def other(server: EmbeddedPostgres) -> EmbeddedPostgres:
    """With the other project's tables, people and 300 visits, 100 of them old, 10 of those kept."""
    place = server.conninfo()
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("other_project.py"))],
        env={
            "PATH": os.environ["PATH"],
            "DATABASE_NAME": place["dbname"],
            "DATABASE_HOST": place["host"],
            "DATABASE_PORT": place["port"],
            "DATABASE_USER": place["user"],
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    execute(
        server.url,
        VISITS,
        "INSERT INTO public.visits (user_id, page, created_at)"
        " SELECT n % 3 + 1, CASE WHEN n <= 10 THEN '/kept' ELSE '/' || n END,"
        "        now() - CASE WHEN n <= 100 THEN interval '31 days' ELSE interval '1 day' END"
        " FROM generate_series(1, 300) AS n",
        "ANALYZE",
    )
    return server


def schema_dump(server: EmbeddedPostgres, *words: str) -> str:
    dump = program("pg_dump", server.bin, server.url, "--schema-only", *words)
    # A random word since PostgreSQL 17.6, so that a dump cannot end its own restriction.
    kept = [line for line in dump.splitlines() if not line.startswith("\\")]
    return "\n".join(kept)


def rows(server: EmbeddedPostgres) -> dict[str, list[str]]:
    """Every row of `public`, as text."""
    with psycopg.connect(server.url) as session:
        tables = session.execute(
            "SELECT c.relname FROM pg_class c"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' ORDER BY 1"
        ).fetchall()
        return {
            name: [row for (row,) in session.execute(f'SELECT t::text FROM public."{name}" t')]
            for (name,) in tables
        }


def test_migrating_and_purging_leave_the_other_project_as_it_was(
    other: EmbeddedPostgres, tmp_path: Path
) -> None:
    console = Console(tmp_path / "var", other.url)
    schema_before, rows_before = schema_dump(other, "--schema=public"), rows(other)
    whole_before = schema_dump(other, "--exclude-schema=custody")
    assert {"auth_user", "django_migrations", "django_session"} <= set(rows_before)
    assert len(rows_before["auth_user"]) == 3

    console.manage("migrate", "-v0")
    (tmp_path / "policy.yaml").write_text(POLICY)
    console.agree("policy_import", str(tmp_path / "policy.yaml"))
    run = console.document("purge_run", "visits")["run"]
    assert (run["state"], run["done"]) == ("succeeded", 90)
    assert console.document("doctor")["ok"] is True

    assert schema_dump(other, "--schema=public") == schema_before
    assert schema_dump(other, "--exclude-schema=custody") == whole_before
    rows_after = rows(other)
    purged = set(rows_before["visits"]) - set(rows_after["visits"])
    assert len(purged) == 90
    assert not any("/kept" in row for row in purged)
    before = {name: sorted(set(found) - purged) for name, found in rows_before.items()}
    assert {name: sorted(found) for name, found in rows_after.items()} == before


def test_each_project_has_people_of_its_own(other: EmbeddedPostgres, tmp_path: Path) -> None:
    console = Console(tmp_path / "var", other.url)
    console.manage("migrate", "-v0")
    # The command acts as a system user of the console, though the other project has such names.
    (tmp_path / "policy.yaml").write_text(POLICY)
    console.manage("policy_import", str(tmp_path / "policy.yaml"))
    theirs = execute(other.url, "SELECT username FROM public.auth_user ORDER BY 1")
    ours = execute(other.url, "SELECT username FROM custody.auth_user ORDER BY 1")
    assert theirs == [("operator",), ("scheduler",), ("zoë",)]
    assert ours not in (theirs, [])
    done = console.run("purge_run", "--user", "zoë")
    assert done.returncode == 2
    assert "no active console user" in done.stderr

"""The console lives in a database whose `public` belongs to another Django project."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config.embedded import EmbeddedPostgres
from tests import prepared

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("beside")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    version = prepared.tested_version()
    prepared.put_empty(folder / "pg", version)
    server = EmbeddedPostgres(folder / "pg", version=version, settings=SETTINGS, sync=False)
    server.hold()
    yield server
    server.release()


@pytest.fixture(scope="module")
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


@dataclass(frozen=True)
class State:
    """What is there of the other project."""

    schema: str
    """Its own, `public`, as pg_dump writes it."""
    whole: str
    """Of everything but the schemas of the console and of the history."""
    rows: dict[str, list[str]]

    @classmethod
    def of(cls, server: EmbeddedPostgres) -> State:
        return cls(
            schema_dump(server, "--schema=public"),
            schema_dump(server, "--exclude-schema=custody", "--exclude-schema=history"),
            rows(server),
        )


@dataclass(frozen=True)
class Lived:
    """A console that was set up there and did a purge."""

    console: Console
    run: dict[str, Any]
    before: State
    after: State


@pytest.fixture(scope="module")
def lived(other: EmbeddedPostgres, folder: Path) -> Lived:
    console = Console(folder / "var", other.url)
    before = State.of(other)
    console.manage("migrate", "-v0")
    (folder / "policy.yaml").write_text(POLICY)
    # It acts as a system user of the console, though the other project has such names.
    console.agree("policy_import", str(folder / "policy.yaml"))
    run = console.document("purge_run", "visits")["run"]
    return Lived(console, run, before, State.of(other))


def test_migrating_and_purging_leave_the_other_project_as_it_was(lived: Lived) -> None:
    before, after = lived.before, lived.after
    assert {"auth_user", "django_migrations", "django_session"} <= set(before.rows)
    assert len(before.rows["auth_user"]) == 3
    assert (lived.run["state"], lived.run["done"]) == ("succeeded", 90)
    assert lived.console.document("doctor")["ok"] is True

    assert after.schema == before.schema
    assert after.whole == before.whole
    purged = set(before.rows["visits"]) - set(after.rows["visits"])
    assert len(purged) == 90
    assert not any("/kept" in row for row in purged)
    left = {name: sorted(set(found) - purged) for name, found in before.rows.items()}
    assert {name: sorted(found) for name, found in after.rows.items()} == left


def test_each_project_has_people_of_its_own(lived: Lived, other: EmbeddedPostgres) -> None:
    theirs = execute(other.url, "SELECT username FROM public.auth_user ORDER BY 1")
    ours = execute(other.url, "SELECT username FROM custody.auth_user ORDER BY 1")
    assert theirs == [("operator",), ("scheduler",), ("zoë",)]
    assert ours not in (theirs, [])
    done = lived.console.run("purge_run", "--user", "zoë")
    assert done.returncode == 2
    assert "no active console user" in done.stderr

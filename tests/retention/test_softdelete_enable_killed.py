"""Killed at any statement and run again, enabling and disabling end in the same state."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from retention.models import SoftDeleteTable

from .catalogue_state import catalogue_state
from .conftest import database_url
from .crash import environment
from .softdelete_tables import Execute, disable, enable
from .softdelete_worker import Killed

pytestmark = pytest.mark.usefixtures("governed")

TABLES = """
CREATE TABLE app.users (id int PRIMARY KEY, email text CONSTRAINT users_email_key UNIQUE);
CREATE TABLE app.visits (
    id int, at date, user_id int REFERENCES app.users ON DELETE CASCADE, code text,
    PRIMARY KEY (id, at), CONSTRAINT once UNIQUE (code, at)
) PARTITION BY RANGE (at);
CREATE TABLE app.v25 PARTITION OF app.visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE app.v26 PARTITION OF app.visits DEFAULT;
INSERT INTO app.users SELECT n, n || '@example.org' FROM generate_series(1, 9) n;
INSERT INTO app.visits SELECT n, '2025-06-01'::date + n * 60, n, 'c' || n
FROM generate_series(1, 9) n;
"""
ENABLE = ("softdelete_enable", "app.users", "--unique-active", "users_email_key", "once")
DISABLE = ("softdelete_disable", "app.users")


@pytest.fixture
def killed(transactional_db: None) -> Iterator[Killed]:
    made = Killed(environment(database_url()))
    yield made
    made.close()


def check_registry(execute: Execute) -> None:
    """It tells of everything that was added, whatever moment it is."""
    known = {str(row): row for row in SoftDeleteTable.objects.filter(disabled_at=None)}
    added = execute(
        "SELECT attrelid::regclass::text, attname FROM pg_attribute"
        " WHERE attrelid IN ('app.users'::regclass, 'app.visits'::regclass)"
        " AND attname IN ('deleted_at', 'deleted_by', 'deletion_id')"
    )
    assert all(column in known[table].made["columns"] for table, column in added)
    told = {tuple(each) for row in known.values() for each in row.made.get("indexes", [])}
    indexes = execute(
        "SELECT 'app', relname FROM pg_class WHERE relnamespace = 'app'::regnamespace"
        " AND relname LIKE '%deletion_id_idx'"
    )
    assert set(indexes) <= told
    unique = {entry["name"] for row in known.values() for entry in row.active_unique}
    partial = execute(
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid IN ('app.users'::regclass, 'app.visits'::regclass)"
        " AND i.indisunique AND i.indpred IS NOT NULL AND c.relname !~ '^custody_'"
    )
    assert {name for (name,) in partial} <= unique


def through(killed: Killed, execute: Execute, *command: str) -> int:
    """Killed at one statement after the other, until it comes to its end; how often it was."""
    times = 0
    while killed.run(*command, at=1 + times, after=bool(times % 2)):
        times += 1
        check_registry(execute)
    return times


def test_killed_at_every_statement_it_ends_as_if_it_never_was(
    execute: Execute, killed: Killed
) -> None:
    execute(TABLES)
    before = catalogue_state(execute)
    enable(*ENABLE[1:])
    wanted = catalogue_state(execute)
    disable(*DISABLE[1:])
    assert through(killed, execute, *ENABLE) > 10
    assert catalogue_state(execute) == wanted
    assert all(row.ready_at for row in SoftDeleteTable.objects.filter(disabled_at=None))
    assert enable(*ENABLE[1:])["steps"] == 0
    assert through(killed, execute, *DISABLE) > 10
    assert catalogue_state(execute) == before
    assert not SoftDeleteTable.objects.filter(disabled_at=None).exists()


def test_killed_while_it_is_enabled_it_can_be_disabled_and_the_other_way_round(
    execute: Execute, killed: Killed
) -> None:
    execute(TABLES)
    before = catalogue_state(execute)
    for at in (2, 7, 16):
        # A change of mind in the middle.
        assert killed.run(*ENABLE, at=at)
        if SoftDeleteTable.objects.filter(disabled_at=None).exists():
            disable(*DISABLE[1:])
        assert catalogue_state(execute) == before
    enable(*ENABLE[1:])
    wanted = catalogue_state(execute)
    for at in (3, 9):
        assert killed.run(*DISABLE, at=at, after=True)
        enable(*ENABLE[1:])
        assert catalogue_state(execute) == wanted

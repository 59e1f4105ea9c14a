"""What a question to `custody.audit_log` and `custody.as_of()` reads, and what it leaves alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from auditing.services.track import table_track

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def two_tables(governed: str, execute: Execute, person: User) -> None:
    for name in ("one", "two"):
        execute(f"CREATE TABLE app.{name} (id int PRIMARY KEY, name text)")
        table_track(f"app.{name}", actor=person, reason="")
        execute(f"INSERT INTO app.{name} SELECT n, 'n' FROM generate_series(1, 3000) n")
        execute(f"UPDATE app.{name} SET name = 'm'")
        execute(f"ANALYZE history.app__{name}")


def plan(execute: Execute, query: str) -> str:
    return "\n".join(line for (line,) in execute(f"EXPLAIN (COSTS OFF) {query}"))


def test_another_tables_history_is_not_read(two_tables: None, execute: Execute) -> None:
    found = plan(execute, "SELECT action FROM custody.audit_log WHERE table_name = 'app.one'")
    assert "app__one_p" in found
    assert "app__two_p" not in found


def test_other_months_are_not_read(two_tables: None, execute: Execute) -> None:
    found = plan(
        execute,
        "SELECT action FROM custody.audit_log WHERE table_name = 'app.one'"
        " AND created_at >= '2000-01-01' AND created_at < '2000-02-01'",
    )
    assert len(set(re.findall(r"app__one_p[0-9]+", found))) == 1, found


def test_old_data_costs_only_where_it_is_asked_for(two_tables: None, execute: Execute) -> None:
    """The version before is looked up by the index of the key."""
    light = plan(execute, "SELECT action, new_data FROM history.app__one_log")
    heavy = plan(execute, "SELECT old_data FROM history.app__one_log WHERE id = 3100")
    assert "1_id_seq_idx" not in light
    assert "1_id_seq_idx" in heavy, heavy


def test_one_record_at_a_moment_is_found_by_its_key(two_tables: None, execute: Execute) -> None:
    found = plan(execute, "SELECT * FROM history.app__one_as_of(now(), '42')")
    assert "1_id_seq_idx" in found
    assert 'Index Cond: ("1_id" = 42)' in found or '("1_id" = 42)' in found, found


def test_the_log_of_one_record_is_found_by_its_key(two_tables: None, execute: Execute) -> None:
    lines = "SELECT action, old_data ->> 'name' FROM custody.audit_log_of('app.one', '42')"
    assert execute(f"{lines} ORDER BY created_at") == [("INSERT", None), ("UPDATE", "n")]
    found = plan(execute, "SELECT * FROM history.app__one_log_of('42')")
    assert '("1_id" = 42)' in found, found
    # Those of months to come are empty.
    [[month]] = execute("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMM')")
    assert f"Seq Scan on app__one_p{month}" not in found

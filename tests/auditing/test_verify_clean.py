"""A log that nobody touched is verified without a finding, whatever happened to the tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from auditing.models import VerifyFinding
from auditing.services.audit_seal import audit_seal
from auditing.services.audit_verify import audit_verify_start
from auditing.services.baseline import baseline_run
from auditing.services.sync import table_sync
from auditing.services.track import TrackTerms, table_track
from auditing.services.untrack import table_untrack
from operations.models import Run
from operations.runs.states import RunState
from operations.services.run_to_end import run_to_end

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]


def verified(person: User, **asked: Any) -> tuple[dict[str, Any], list[str]]:
    """The result of a verification, and what it found."""
    run: Run = run_to_end(run=audit_verify_start(requester=person, **asked))
    assert run.current is RunState.SUCCEEDED, run.error
    found = VerifyFinding.objects.filter(run_id=run.pk).order_by("id")
    return run.result, [each.text for each in found]


def test_every_kind_of_change_is_sealed_and_verifies(execute: Execute, person: User) -> None:
    execute("CREATE TYPE app.mood AS ENUM ('good', 'bad')")
    execute("CREATE DOMAIN app.mail AS text CHECK (VALUE LIKE '%@%')")
    execute(
        "CREATE TABLE app.people (id int, part int, mail app.mail, mood app.mood, score float8,"
        " born date, paid numeric(8,2), tags text[], doc jsonb, secret text, seen int,"
        " doubled int GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (id, part))"
    )
    terms = TrackTerms(mask=["secret"], exclude=["seen"])
    execute(
        "INSERT INTO app.people (id, part, paid) SELECT n, 1, 1.5 FROM generate_series(1, 50) n"
    )
    tracked = table_track("app.people", actor=person, reason="the law", terms=terms)
    execute("UPDATE app.people SET paid = 2.50 WHERE id <= 3")
    audit_seal()
    assert verified(person)[1] == []
    baseline_run(tracked, requester=person)
    execute(
        "INSERT INTO app.people VALUES (100, 1, E'a\\\\b@\\t', 'bad', 0.1, '2000-01-01', 1.00,"
        " '{\"x\",NULL}', '{\"k\": 1.50}', 's', 1)"
    )
    execute("UPDATE app.people SET id = id + 1000 WHERE id <= 5")
    execute("UPDATE app.people SET secret = 'other', seen = 9 WHERE id = 100")
    execute("DELETE FROM app.people WHERE id BETWEEN 10 AND 20")
    execute("ALTER TABLE app.people ADD COLUMN more text")
    execute("UPDATE app.people SET more = 'm' WHERE id = 30")
    audit_seal()
    table_sync(tracked, actor=person, reason="more")
    execute("ALTER TABLE app.people DROP COLUMN doc")
    execute("UPDATE app.people SET more = 'n' WHERE id = 31")
    audit_seal()
    baseline_run(tracked, requester=person)
    audit_seal()
    result, findings = verified(person)
    assert findings == []
    assert result["pending"] == 0
    execute("TRUNCATE app.people")
    audit_seal()
    assert verified(person)[1] == []
    table_untrack(tracked, actor=person, reason="enough")
    audit_seal()
    assert verified(person)[1] == []


def test_partitions_children_and_tables_captured_row_by_row(execute: Execute, person: User) -> None:
    execute(
        "CREATE TABLE app.logs (id int, at date, note text, PRIMARY KEY (id, at))"
        " PARTITION BY RANGE (at)"
    )
    for year in (2025, 2026):
        execute(
            f"CREATE TABLE app.logs_{year} PARTITION OF app.logs"
            f" FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01')"
        )
    execute("CREATE TABLE app.parent (id text PRIMARY KEY, name text)")
    execute("CREATE TABLE app.child (extra int, PRIMARY KEY (id)) INHERITS (app.parent)")
    for table in ("app.logs", "app.parent"):
        table_track(table, actor=person, reason="the law")
    execute("INSERT INTO app.logs SELECT n, '2025-06-01', 'x' FROM generate_series(1, 300) n")
    execute("UPDATE app.logs SET at = '2026-06-01' WHERE id <= 10")
    execute("DELETE FROM app.logs_2025 WHERE id > 200")
    execute("INSERT INTO app.parent SELECT 'k' || n, 'x' FROM generate_series(1, 300) n")
    execute("INSERT INTO app.child SELECT 'c' || n, 'x' FROM generate_series(1, 300) n")
    execute("UPDATE app.parent SET name = 'y'")
    audit_seal()
    assert verified(person)[1] == []


def test_a_change_that_nobody_asked_to_follow_is_no_finding(execute: Execute, person: User) -> None:
    execute("CREATE TABLE app.jobs (id int PRIMARY KEY, name text, beat int)")
    terms = TrackTerms(significant=["name"])
    table_track("app.jobs", actor=person, reason="the law", terms=terms)
    execute("INSERT INTO app.jobs VALUES (1, 'a', 1)")
    execute("UPDATE app.jobs SET beat = 2")
    audit_seal()
    assert verified(person)[1] == []


def test_what_is_open_or_not_sealed_yet_is_no_finding(
    execute: Execute, person: User, other_session: Callable[[], psycopg.Connection[Any]]
) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY)")
    table_track("app.orders", actor=person, reason="the law")
    other = other_session()
    other.autocommit = False
    other.execute("INSERT INTO app.orders VALUES (1)")
    execute("INSERT INTO app.orders VALUES (2)")
    audit_seal()
    other.commit()
    execute("INSERT INTO app.orders VALUES (3)")
    result, findings = verified(person)
    assert findings == []
    assert result["pending"] == 2


def test_since_a_time_and_one_table(execute: Execute, person: User) -> None:
    for name in ("orders", "users"):
        execute(f"CREATE TABLE app.{name} (id int PRIMARY KEY)")
        table_track(f"app.{name}", actor=person, reason="the law")
        execute(f"INSERT INTO app.{name} SELECT generate_series(1, 100)")
    audit_seal()
    [[now]] = execute("SELECT clock_timestamp()")
    execute("INSERT INTO app.orders VALUES (1000)")
    audit_seal()
    execute('UPDATE history.app__orders SET "1_id" = 7 WHERE "1_id" IN (1, 1000)')
    whole, since = verified(person), verified(person, since=now)
    assert len([text for text in whole[1] if "not what was sealed" in text]) == 2
    assert len([text for text in since[1] if "not what was sealed" in text]) == 1
    assert since[0]["blocks"] == 1
    assert verified(person, table="app.users")[1] == []
    assert verified(person, table="app.orders")[1]


def test_the_command_tells_what_it_verified(
    execute: Execute, person: User, capsys: pytest.CaptureFixture[str]
) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY)")
    table_track("app.orders", actor=person, reason="the law")
    execute("INSERT INTO app.orders SELECT generate_series(1, 100)")
    audit_seal()
    call_command("audit_verify")
    assert "Nothing was altered, removed or added." in capsys.readouterr().out
    call_command("audit_verify", "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["findings"] == []
    assert document["verified"]["findings"] == 0
    assert document["run"]["state"] == "succeeded"

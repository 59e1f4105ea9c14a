"""References that were set to NULL come back, of whatever type and however many."""

from __future__ import annotations

import json
from collections.abc import Callable

import psycopg
import pytest

from .shielding import Execute
from .softdeleting import enable

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql]

Connect = Callable[[], psycopg.Connection]


def test_moments_without_end_or_before_our_era(
    governed: str, execute: Execute, other_session: Connect
) -> None:
    """Deleted and restored by sessions that write moments in other ways."""
    execute(
        "CREATE DOMAIN app.until AS timestamptz;"
        "CREATE TABLE app.terms (id numeric, until app.until, PRIMARY KEY (id, until));"
        "CREATE TABLE app.uses (id int PRIMARY KEY, term numeric, until app.until,"
        " FOREIGN KEY (term, until) REFERENCES app.terms ON DELETE SET NULL);"
        "INSERT INTO app.terms VALUES (1, 'infinity'), (1.5, '-infinity'),"
        " (2, '2026-10-25 02:30:00.25+02'), (3, '0044-03-15 00:00:00+00 BC');"
        "INSERT INTO app.uses SELECT row_number() OVER (ORDER BY id), id, until FROM app.terms"
    )
    enable("terms")
    session = other_session()
    session.execute("SET datestyle = 'German'; SET timezone = 'Asia/Kolkata'")
    key = execute("SELECT custody.softdelete_record_id('app.terms'::regclass, 't')")[0][0]
    before = execute("SELECT u::text FROM app.uses u ORDER BY id")
    made = [
        session.execute("SELECT custody.soft_delete('app.terms', %s)", [record]).fetchone()
        for (record,) in execute(f"SELECT {key} FROM app.terms t")
    ]
    assert execute("SELECT DISTINCT term, until FROM app.uses") == [(None, None)]
    session.execute("SET datestyle = 'SQL, DMY'; SET timezone = 'America/New_York'")
    for row in made:
        assert row is not None
        session.execute("SELECT custody.restore(%s)", [row[0]])
    assert execute("SELECT u::text FROM app.uses u ORDER BY id") == before


def test_many_come_back_without_looking_at_each_for_each_other(
    governed: str, execute: Execute, other_session: Connect
) -> None:
    """All pairs of them would take minutes; the planner is told nothing in time, as in life."""
    execute(
        "CREATE TABLE app.a (id int PRIMARY KEY) WITH (autovacuum_enabled = off);"
        "CREATE TABLE app.b (id int PRIMARY KEY, a int REFERENCES app.a ON DELETE CASCADE)"
        " WITH (autovacuum_enabled = off);"
        "CREATE TABLE app.c (id int PRIMARY KEY, b int REFERENCES app.b ON DELETE SET NULL)"
        " WITH (autovacuum_enabled = off);"
        "CREATE INDEX ON app.b (a); CREATE INDEX ON app.c (b);"
        "INSERT INTO app.a SELECT generate_series(1, 20030);"
        "INSERT INTO app.b SELECT n, n FROM generate_series(1, 20030) n;"
        "INSERT INTO app.c SELECT n, n FROM generate_series(1, 20030) n"
    )
    enable("b")
    enable("a")
    session = other_session()
    # The planner looked when none were left, and believes that of the table until it looks again.
    session.execute(
        "SELECT custody.soft_delete('app.b', n::text) FROM generate_series(20001, 20030) n"
    )
    session.execute("DELETE FROM custody.retention_severedreference")
    session.execute("ANALYZE custody.retention_severedreference")
    session.execute("SET statement_timeout = '30s'")
    keys = json.dumps([[str(n)] for n in range(1, 20001)])
    [deletion] = session.execute(
        "SELECT custody.softdelete_rows('app.a'::regclass, %s::jsonb, '', 'policy')", [keys]
    ).fetchone() or [0]
    # All are in the bin, and the planner thinks that it knows.
    execute("ANALYZE app.a; ANALYZE app.b")
    part = json.dumps([{"table": "app.a", "record": str(n)} for n in range(1, 10001)])
    session.execute("SELECT custody.restore(%s, %s::jsonb)", [deletion, part])
    assert execute("SELECT count(b), max(b) FROM app.c") == [(10_000, 10_000)]
    session.execute("SELECT custody.restore(%s)", [deletion])
    assert execute("SELECT count(*) FROM app.c WHERE b = id") == [(20_000,)]

"""Histories written by hand, as the capture would: for tests of what is made of them."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connection

from auditing.models import Layout, TrackedTable

OWN = """
    seq bigint, statement bigint, xid bigint, op "char", at timestamptz, layout bigint,
    changed varbit, db_user text, client inet, context bigint, rest jsonb
"""


def made(name: str, *, oid: int = 0) -> Layout:
    """A tracked table `app.<name>` of the columns id and total, with a history of two partitions:
    up to now's month and after it."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA IF NOT EXISTS history")
        for sequence in ("audit_seq", "audit_statement_seq"):
            cursor.execute(f"CREATE SEQUENCE IF NOT EXISTS custody.{sequence}")
        history = f"history.app__{name}"
        cursor.execute(f"DROP TABLE IF EXISTS {history}")
        cursor.execute(
            f'CREATE TABLE {history} ({OWN}, "1_id" bigint, "2_total" int) PARTITION BY RANGE (at)'
        )
        cursor.execute(f'CREATE INDEX ON {history} ("1_id", seq)')
        cursor.execute(f"CREATE INDEX ON {history} USING brin (seq, xid, statement, at)")
        cursor.execute("SELECT date_trunc('month', now())::text")
        [month] = cursor.fetchone()
        cursor.execute(
            f"CREATE TABLE {history}_old PARTITION OF {history} "
            f"FOR VALUES FROM (MINVALUE) TO ('{month}')"
        )
        cursor.execute(
            f"CREATE TABLE {history}_new PARTITION OF {history} "
            f"FOR VALUES FROM ('{month}') TO (MAXVALUE)"
        )
    tracked = TrackedTable.objects.create(
        schema_name="app",
        table_name=name,
        table_oid=oid or hash(name) % 10**9,
        history_name=f"app__{name}",
    )
    return Layout.objects.create(tracked=tracked, attnums=[1, 2], names=["id", "total"])


def change(
    session: psycopg.Connection[Any],
    layout: Layout,
    op: str,
    *ids: int,
    changed: str | None = None,
    context: int | None = None,
    statement: int | None = None,
) -> int:
    """One firing on the session, in its transaction; the statement's number."""
    if statement is None:
        row = session.execute("SELECT nextval('custody.audit_statement_seq')").fetchone()
        assert row
        statement = row[0]
    session.execute(
        f"""
        INSERT INTO history.{layout.tracked.history_name}
            (seq, statement, xid, op, at, layout, changed, db_user, context, "1_id", "2_total")
        SELECT nextval('custody.audit_seq'), %s, pg_current_xact_id()::text::bigint, %s,
            clock_timestamp(), %s, %s::varbit, session_user, %s, id, 1
        FROM unnest(%s::bigint[]) AS id
        """,
        [statement, op, layout.pk, changed, context, list(ids)],
    )
    return statement


def forget() -> None:
    """Drops the histories that were made."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'history'::regnamespace"
            " AND relkind = 'p' AND starts_with(relname, 'app__')"
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE history.{name}")

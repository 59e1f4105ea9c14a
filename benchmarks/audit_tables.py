"""The table of the audit benchmark, its rows, the two floors, and the trigger of the specification.

All ways of auditing have a table of their own with the same columns, rows and primary key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

COLUMNS = {
    "id": "bigint",
    "customer": "integer",
    "number": "bigint",
    "name": "text",
    "email": "text",
    "amount": "numeric(12,2)",
    "paid": "boolean",
    "placed_at": "timestamptz",
    "token": "uuid",
    "note": "text",
}
SOURCE = "bench_source"

_SOURCE = """
CREATE TABLE bench_source AS
SELECT n::bigint AS id, (n %% 1000)::integer AS customer, n * 10::bigint AS number,
    'name ' || n AS name, 'mail' || n || '@example.org' AS email,
    (n * 1.5)::numeric(12,2) AS amount, n %% 2 = 0 AS paid, now() AS placed_at,
    md5(n::text)::uuid AS token, repeat('x', 40) AS note
FROM generate_series(1, %s) AS n
"""

# The specification's audit_logs and audit_trigger_function(), made to work: record_id is text, for
# the key is no uuid; auth.uid() is Supabase's, without which the function does not run.
_SPECIFIED = """
CREATE SCHEMA IF NOT EXISTS auth;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid
$$;
CREATE TABLE users (id uuid PRIMARY KEY);
CREATE TABLE audit_logs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    table_name text NOT NULL,
    record_id text NOT NULL,
    action text NOT NULL CHECK (action IN ('INSERT', 'UPDATE', 'DELETE')),
    old_data jsonb,
    new_data jsonb,
    changed_fields text[],
    user_id uuid REFERENCES users (id),
    user_email text,
    ip_address inet,
    user_agent text,
    created_at timestamptz DEFAULT now()
);
CREATE INDEX idx_audit_logs_table_record ON audit_logs (table_name, record_id);
CREATE INDEX idx_audit_logs_user ON audit_logs (user_id);
CREATE INDEX idx_audit_logs_created ON audit_logs (created_at DESC);
CREATE FUNCTION audit_trigger_function() RETURNS trigger AS $$
DECLARE
    old_data jsonb;
    new_data jsonb;
    changed_fields text[];
BEGIN
    IF TG_OP = 'DELETE' THEN
        old_data := to_jsonb(OLD);
        new_data := NULL;
    ELSIF TG_OP = 'INSERT' THEN
        old_data := NULL;
        new_data := to_jsonb(NEW);
    ELSE
        old_data := to_jsonb(OLD);
        new_data := to_jsonb(NEW);
        SELECT array_agg(key) INTO changed_fields
        FROM jsonb_each(new_data)
        WHERE new_data -> key IS DISTINCT FROM old_data -> key;
    END IF;
    INSERT INTO audit_logs (
        table_name, record_id, action, old_data, new_data, changed_fields, user_id, created_at
    ) VALUES (
        TG_TABLE_NAME, COALESCE(NEW.id, OLD.id), TG_OP, old_data, new_data, changed_fields,
        auth.uid(), now()
    );
    RETURN COALESCE(NEW, OLD);
END
$$ LANGUAGE plpgsql SECURITY DEFINER;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON bench_specified
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function()
"""


@dataclass(frozen=True)
class Way:
    """A way of auditing: its table, and the tables that it writes to, with their schema."""

    name: str
    table: str
    history: Sequence[str] = field(default=())
    captures: bool = True
    """Whether it notices what SQL changes."""


NONE = Way("no audit", "bench_none", captures=False)
OURS = Way("custody", "bench_custody", ["history.public__bench_custody"])
SPECIFIED = Way("row trigger of the specification", "bench_specified", ["public.audit_logs"])
PGHISTORY = Way(
    "django-pghistory, statement triggers",
    "bench_pghistory_statement",
    ["public.bench_pghistory_statement_event"],
)
PGHISTORY_ROW = Way(
    "django-pghistory, row triggers",
    "bench_pghistory_row",
    ["public.bench_pghistory_row_event"],
)
SIMPLE = Way(
    "django-simple-history, plain SQL",
    "bench_simple_history",
    ["public.bench_simple_history_historical"],
    captures=False,
)
WAYS = (NONE, OURS, SPECIFIED, PGHISTORY, PGHISTORY_ROW, SIMPLE)

FLOOR = "floor: INSERT ... SELECT into a like table"
FLOOR_OWN = "floor: the same with the history's own columns"
_FLOOR_TABLE, _FLOOR_OWN_TABLE = "bench_floor", "bench_floor_own"
_OWN = {
    "seq": ("bigint", "nextval('bench_floor_seq')"),
    "statement": ("bigint", "1"),
    "xid": ("bigint", "pg_current_xact_id()::text::bigint"),
    "at": ("timestamptz", "now()"),
    "layout": ("bigint", "1"),
    "op": ('"char"', "'I'"),
    "changed": ("varbit", "NULL"),
    "db_user": ("text", "session_user"),
    "client": ("inet", "inet_client_addr()"),
    "context": ("bigint", "NULL"),
    "rest": ("jsonb", "NULL"),
}
"""The history's own columns: type, and what the second floor writes into them."""


def tables_make(session: psycopg.Connection[tuple[object, ...]], rows: int) -> None:
    """All tables, empty, and the source of their rows. Only the specification's is audited yet."""
    session.execute(_SOURCE, [rows])
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    for way in WAYS:
        session.execute(_table(way.table, f"{columns}, PRIMARY KEY (id)"))
    session.execute(_table(_FLOOR_TABLE, columns))
    session.execute("CREATE INDEX ON bench_floor (id)")
    own = ", ".join(f"{name} {kind}" for name, (kind, _) in _OWN.items())
    session.execute("CREATE SEQUENCE bench_floor_seq")
    session.execute(_table(_FLOOR_OWN_TABLE, f"{own}, {columns}"))
    session.execute("CREATE INDEX ON bench_floor_own (id, seq)")
    session.execute(_SPECIFIED)
    session.execute("VACUUM (ANALYZE)")


def _table(name: str, columns: str) -> sql.SQL:
    return sql.SQL(f"CREATE TABLE {name} ({columns}) WITH (autovacuum_enabled = false)")


def floor_statements() -> dict[str, tuple[str, str]]:
    """The floors: the table to be emptied before, and the statement."""
    own = ", ".join(value for _, value in _OWN.values())
    images = ", ".join(COLUMNS)
    return {
        FLOOR: (_FLOOR_TABLE, f"INSERT INTO {_FLOOR_TABLE} SELECT {images} FROM {SOURCE}"),
        FLOOR_OWN: (
            _FLOOR_OWN_TABLE,
            f"INSERT INTO {_FLOOR_OWN_TABLE} SELECT {own}, {images} FROM {SOURCE}",
        ),
    }

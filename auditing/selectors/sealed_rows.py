"""The rows that seals cover, in the one form in which they are hashed: lines of COPY.

A line has the fields that are for the reader only (`control`), then those of the leaf: `meta`, then
one for each of `names`. It comes back the same from any session, cluster and version of PostgreSQL.

Source: PostgreSQL's manual, COPY, "Text Format".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections
from psycopg import sql

from auditing.models import TrackedTable
from auditing.seals.leaves import REST
from auditing.selectors.images import shape_of
from auditing.selectors.keys import record_id_of
from operations.catalogue.identifiers import Identifier
from operations.session import set_local

PRINTED = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
    "xmlbinary": "base64",
}
"""Settings that decide how a value is printed."""
VERSION_META = (
    "seq", "statement", "xid", "op", "at", "layout", "changed", "db_user", "client", "context",
)  # fmt: skip
"""Of a version: who wrote it when, in what order. None of them is ever redacted."""


@dataclass(frozen=True)
class RowSource:
    """A table of ours whose rows are sealed one by one."""

    table: str
    """Or a view, in the schema `custody`."""
    key: str
    """Its number; rises."""
    meta: tuple[str, ...]
    """The key first."""
    names: tuple[str, ...]
    """What may be about a person, and could be redacted."""

    @property
    def source(self) -> str:
        return f"custody.{self.table}"


ROWS = (
    RowSource(
        "auditing_changecontext",
        "id",
        ("id", "xid", "at", "claimed"),
        (
            "actor", "client_addr", "extra", "impersonator", "ip_address", "reason", "request_id",
            "session_user", "user_agent", "user_email", "user_id",
        ),
    ),
    RowSource(
        "auditing_changestatement",
        "id",
        (
            "id", "tracked_id", "operation", "xid", "at", "rows", "first_seq", "last_seq",
            "changed", "context_id", "event_id",
        ),
        ("actor", "client_addr", "session_user"),
    ),
    RowSource(
        "auditing_changetransaction",
        "xid",
        ("xid", "first_at", "committed_at", "statements", "rows", "context_id"),
        ("actor",),
    ),
    RowSource(
        "auditing_auditevent",
        "id",
        ("id", "kind", "tracked_id", "at", "seq", "run_id", "certificate", "rows", "xid"),
        ("actor", "detail", "reason"),
    ),
    RowSource(
        "auditing_removal",
        "id",
        (
            "id", "kind", "tracked_id", "run_id", "at", "until", "numbers", "images", "versions",
            "xid",
        ),
        (),
    ),
    RowSource(
        # A view: salts of what stays beside a redacted entry of `rest` go with that entry.
        "auditing_redaction",
        "id",
        ("id", "section_id", "place", "name", "commitment", "run_id", "xid"),
        (),
    ),
)  # fmt: skip


def version_names(tracked: TrackedTable, *, using: str) -> list[str]:
    """The columns of the history that have a commitment each, in the leaf's order."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT a.attname FROM pg_catalog.pg_attribute a"
            " WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped"
            " AND a.attname ~ '^[0-9]'",
            [f'history."{tracked.history_name}"'],
        )
        names = [name for (name,) in cursor.fetchall()]
    return [*sorted(names, key=str.encode), REST]


def record_text(tracked: TrackedTable) -> sql.Composable:
    """The record id of the history row `h`; empty where the table has no key any more."""
    shape = shape_of(tracked)
    if not shape.key:
        return sql.SQL("''::pg_catalog.text")
    return sql.SQL("COALESCE({}, '')").format(record_id_of(shape))


def lines(
    table: sql.Composable,
    *,
    control: Sequence[sql.Composable],
    fields: Sequence[str],
    where: sql.Composable,
    tail: sql.Composable,
    using: str,
) -> Iterator[list[bytes]]:
    """The fields of each row of `table h`, in a transaction, as COPY prints them.

    Args:
        control: expressions over `h`, before the fields.
        fields: columns of the table.
        tail: what follows WHERE: the order, say.
    """
    listed = sql.SQL(", ").join([*control, *(Identifier("h", name) for name in fields)])
    query = sql.SQL("COPY (SELECT {} FROM {} AS h WHERE {} {}) TO STDOUT").format(
        listed, table, where, tail
    )
    set_local(PRINTED, using=using)
    with connections[using].cursor() as cursor, _raw(cursor).copy(query) as copy:
        for line in copy:
            yield bytes(line)[:-1].split(b"\t")


def _raw(cursor: Any) -> Any:
    """psycopg's own cursor."""
    return cursor.cursor

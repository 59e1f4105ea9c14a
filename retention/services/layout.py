"""How an archive is written and read back: columns, types, and the settings they depend on.

Source: PostgreSQL's manual, "COPY", and chapter 19.11 "Client Connection Defaults". COPY's text of
a value depends on these settings, so they are pinned and kept with every archive.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connections
from psycopg import sql

from operations.catalogue.types import Table, TableName
from operations.session import set_local

FORMAT = "custody-archive/1"

SESSION = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
}
COPY_OPTIONS = "FORMAT csv, HEADER true, ENCODING 'UTF8'"

_COLUMNS = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attgenerated <> ''
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = pg_catalog.to_regclass(%(table)s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

_REFERENCES = """
WITH RECURSIVE below AS (
    SELECT pg_catalog.to_regclass(%(table)s)::oid AS node
    UNION
    SELECT i.inhrelid FROM below b
    JOIN pg_catalog.pg_inherits i ON i.inhparent = b.node
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relispartition
), above AS (
    SELECT pg_catalog.to_regclass(%(table)s)::oid AS node
    UNION
    SELECT i.inhparent FROM above a
    JOIN pg_catalog.pg_class c ON c.oid = a.node AND c.relispartition
    JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
)
SELECT n.nspname::text, c.relname::text, f.conname::text, f.confdeltype::text,
       f.conkey::text, f.confkey::text
FROM pg_catalog.pg_constraint f
JOIN pg_catalog.pg_class c ON c.oid = f.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
-- With a parent it is PostgreSQL's own copy for a partition.
WHERE f.contype = 'f' AND f.conparentid = 0
  AND f.confrelid IN (SELECT node FROM below UNION SELECT node FROM above)
ORDER BY 1, 2, 3
"""


def session_pin(using: str, settings: Mapping[str, str] = SESSION) -> None:
    """Pins the settings until the end of the transaction."""
    set_local(settings, using=using)


def stored_columns(table: Table) -> tuple[str, ...]:
    """The columns whose values are kept: a generated one is made again from the others."""
    return tuple(column.name for column in table.columns if not column.generated)


def layout(table: Table) -> dict[str, Any]:
    """What a reader of the parts has to know, as JSON."""
    return {
        "format": FORMAT,
        "table": [table.name.schema, table.name.name],
        "columns": [
            {
                "name": column.name,
                "type": column.type,
                "position": column.position,
                "identity": column.identity,
            }
            for column in table.columns
            if not column.generated
        ],
        "generated": [column.name for column in table.columns if column.generated],
        "key": list(table.key.columns) if table.key else [],
        "session": SESSION,
        "copy": COPY_OPTIONS,
        "compression": "zstd",
    }


def fingerprint(table: TableName, *, using: str) -> str:
    """SHA-256 of the table's columns and of the foreign keys that point at it, as they are now.

    Asked under a lock that keeps ALTER TABLE out: a column that was added since the run was
    planned would otherwise be destroyed without being archived, and a foreign key that cascades
    would take rows along that no policy covers.
    """
    name = {"table": str(table)}
    found = []
    with connections[using].cursor() as cursor:
        for query in (_COLUMNS, _REFERENCES):
            cursor.execute(query, name)
            found.append([list(row) for row in cursor.fetchall()])
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def fingerprint_of(tables: Sequence[TableName], *, using: str) -> str:
    """Of several tables: one that is another now makes it another."""
    found = [fingerprint(name, using=using) for name in tables]
    return found[0] if len(found) == 1 else hashlib.sha256(json.dumps(found).encode()).hexdigest()


def column_list(names: tuple[str, ...], *, alias: str = "") -> sql.Composable:
    parts = [sql.Identifier(alias, name) if alias else sql.Identifier(name) for name in names]
    return sql.SQL(", ").join(parts)

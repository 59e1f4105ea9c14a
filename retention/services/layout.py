"""How an archive is written and read back: columns, types, and the settings they depend on.

Source: PostgreSQL's manual, "COPY", and chapter 19.11 "Client Connection Defaults". COPY's text of
a value depends on these settings, so they are pinned and kept with every archive.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.db import connections
from psycopg import sql

from operations.catalogue.types import Table, TableName

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
WHERE a.attrelid = pg_catalog.to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""


def session_pin(using: str) -> None:
    """Pins the settings until the end of the transaction."""
    calls = ", ".join("pg_catalog.set_config(%s, %s, true)" for _ in SESSION)
    values = [text for pair in SESSION.items() for text in pair]
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT {calls}", values)


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
    """SHA-256 of the table's columns, their types and order, as they are in this transaction.

    Asked under a lock that keeps ALTER TABLE out: a column that was added since the run was
    planned would otherwise be destroyed without being archived.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(_COLUMNS, [table.sql.as_string(None)])
        found = [list(row) for row in cursor.fetchall()]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def column_list(names: tuple[str, ...], *, alias: str = "") -> sql.Composable:
    parts = [sql.Identifier(alias, name) if alias else sql.Identifier(name) for name in names]
    return sql.SQL(", ").join(parts)

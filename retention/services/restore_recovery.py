"""A table in another schema that takes an archive's rows, to look at or to copy from.

It is made as the archive has the rows, with types that take every archived value (enums as text,
domains as what is under them), so it is there whatever became of the table. Invariant: a table
that this did not make is never written to: another schema may hold another tenant's live one.
"""

from __future__ import annotations

from django.db import connections, transaction
from psycopg import sql

from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.identifiers import Identifier, quoted
from operations.catalogue.read import OWN_SCHEMAS
from operations.catalogue.read import table as read_table
from operations.catalogue.types import TableName
from operations.conditions.render import Text
from retention.exceptions import RestoreRefused
from retention.models import Archive
from retention.selectors.archived_columns import archived_columns

MARK = (
    "Rows of archives, put here by Custody (archive_restore --into-schema). No policy governs it."
)

_MAY_CREATE = """
SELECT pg_catalog.to_regnamespace(%(quoted)s) IS NOT NULL,
       CASE WHEN pg_catalog.to_regnamespace(%(quoted)s) IS NULL
            THEN pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
            ELSE pg_catalog.has_schema_privilege(%(schema)s, 'CREATE') END
"""


def recovery_ready(archive: Archive, schema: str, *, using: str) -> bool:
    """Whether the table is there already; when not, it can be made. Changes nothing.

    Raises RestoreRefused: the rows must not, or cannot, go there.
    """
    if schema in (*OWN_SCHEMAS, "information_schema") or schema.startswith("pg_"):
        raise RestoreRefused(f"{quoted(schema)} is no schema for restored rows: name another one.")
    if schema == archive.schema_name:
        raise RestoreRefused(
            f"{quoted(schema)} is the schema that the rows come from: leave --into-schema out."
        )
    name = TableName(schema, archive.table_name)
    try:
        table = read_table(name, using=using)
    except NoSuchTable:
        _refuse_without_right(schema, using)
        return False
    if table.comment != MARK:
        raise RestoreRefused(
            f"There is a table {name} that was not made for restored rows: it is left alone. "
            "Name another schema."
        )
    return True


def recovery_make(archive: Archive, schema: str, *, using: str) -> None:
    """Makes the schema and the table where they are missing. Raises what `recovery_ready` does."""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        if recovery_ready(archive, schema, using=using):
            return
        cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(schema)))
        name = TableName(schema, archive.table_name).sql
        columns: list[sql.Composable] = [
            # The type's name is the catalogue's, never a user's.
            sql.SQL("{} {}").format(Identifier(each.name), sql.SQL(each.read_as))
            for each in archived_columns(archive.layout, using=using)
        ]
        if archive.layout["key"]:
            key = sql.SQL(", ").join(map(Identifier, archive.layout["key"]))
            columns.append(sql.SQL("PRIMARY KEY ({})").format(key))
        cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(", ").join(columns)))
        cursor.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(name, Text(MARK)))


def _refuse_without_right(schema: str, using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(_MAY_CREATE, {"quoted": quoted(schema), "schema": schema})
        exists, may = cursor.fetchone()
    if not may:
        right = (
            f"GRANT CREATE ON SCHEMA {quoted(schema)}"
            if exists
            else f"make the schema (CREATE SCHEMA {quoted(schema)}) and GRANT CREATE ON it"
        )
        raise RestoreRefused(f"The console's role may not make a table there: {right}, then again.")

"""What the console's role may not do with governed tables."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.db import connections
from psycopg import sql

from operations.catalogue.types import Table, TableName

NEEDED = ("SELECT", "INSERT", "DELETE")
"""Looking at rows, putting archived rows back, deleting. A batch names the leaves themselves."""

_MISSING = """
SELECT n.nspname, c.relname,
       NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE'),
       ARRAY(SELECT p FROM unnest(%(needed)s::text[]) WITH ORDINALITY AS p (p, nr)
             WHERE NOT pg_catalog.has_table_privilege(c.oid, p) ORDER BY nr)
FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS l (schema, name)
JOIN pg_catalog.pg_namespace n ON n.nspname = l.schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = l.name
ORDER BY 1, 2
"""


@dataclass(frozen=True)
class MissingGrant:
    table: TableName
    schema_usage: bool
    """The role may not even enter the schema."""
    privileges: tuple[str, ...]

    def statement(self, role: str) -> str:
        """The SQL that mends it."""
        to = sql.Identifier(role).as_string(None)
        parts = []
        if self.schema_usage:
            schema = sql.Identifier(self.table.schema).as_string(None)
            parts.append(f"GRANT USAGE ON SCHEMA {schema} TO {to};")
        if self.privileges:
            table = self.table.sql.as_string(None)
            parts.append(f"GRANT {', '.join(self.privileges)} ON {table} TO {to};")
        return " ".join(parts)


def grants_missing(tables: Collection[Table], *, using: str = "default") -> list[MissingGrant]:
    """The tables and leaf partitions for which the role that asks lacks something."""
    names = sorted({name for table in tables for name in (table.name, *table.leaves)})
    parameters = {
        "needed": list(NEEDED),
        "schemas": [name.schema for name in names],
        "names": [name.name for name in names],
    }
    with connections[using].cursor() as cursor:
        cursor.execute(_MISSING, parameters)
        found = [MissingGrant(TableName(s, n), usage, tuple(p)) for s, n, usage, p in cursor]
    return [each for each in found if each.schema_usage or each.privileges]

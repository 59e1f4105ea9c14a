"""The schemas of the governed applications, and whose tables are in them."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connections

from operations.catalogue.read import OWN_SCHEMAS

_SCHEMAS = """
SELECT n.nspname,
       ARRAY(SELECT DISTINCT pg_catalog.pg_get_userbyid(o.owner)::text
             FROM (SELECT n.nspowner
                   UNION ALL
                   SELECT c.relowner FROM pg_catalog.pg_class c
                   WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                   UNION ALL
                   -- Whom pg_database_owner, which owns `public`, stands for.
                   SELECT d.datdba FROM pg_catalog.pg_database d
                   WHERE d.datname = pg_catalog.current_database() AND n.nspname = 'public'
                  ) AS o (owner)
             WHERE pg_catalog.pg_get_userbyid(o.owner) NOT LIKE 'pg\\_%%'
             ORDER BY 1)
FROM pg_catalog.pg_namespace n
WHERE n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema'
  AND NOT n.nspname = ANY(%(own)s)
ORDER BY 1
"""


@dataclass(frozen=True)
class Schema:
    name: str
    owners: tuple[str, ...]
    """Roles that own the schema or something in it: what they make later is governed too."""


def schemas(*, using: str = "default") -> list[Schema]:
    """Every schema of users but the console's own."""
    with connections[using].cursor() as cursor:
        cursor.execute(_SCHEMAS, {"own": list(OWN_SCHEMAS)})
        return [Schema(name, tuple(owners)) for name, owners in cursor]


def database_name(*, using: str = "default") -> str:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_catalog.current_database()")
        name: str = cursor.fetchone()[0]
        return name

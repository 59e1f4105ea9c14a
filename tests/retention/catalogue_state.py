"""All that PostgreSQL's catalogue says of a schema, as pg_dump would write it down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Execute = Callable[..., list[tuple[Any, ...]]]

_QUERIES = {
    "relations": """
        SELECT c.relname, c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
               c.relreplident, c.reloptions, c.relacl::text, c.relispartition,
               pg_get_userbyid(c.relowner), obj_description(c.oid, 'pg_class'),
               pg_get_expr(c.relpartbound, c.oid)
        FROM pg_class c WHERE c.relnamespace = %s::regnamespace""",
    "columns": """
        SELECT c.relname, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), a.attname,
               format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
               a.attislocal, a.attinhcount, pg_get_expr(d.adbin, d.adrelid), a.attacl::text,
               a.attstattarget, col_description(c.oid, a.attnum)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = %s::regnamespace AND NOT a.attisdropped""",
    "indexes": """
        SELECT c.relname, t.relname, pg_get_indexdef(c.oid), i.indisunique, i.indisprimary,
               i.indimmediate, i.indisclustered, i.indisvalid, i.indisready, i.indisreplident,
               i.indnullsnotdistinct, c.reloptions, c.relispartition, p.inhparent::regclass::text
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_class t ON t.oid = i.indrelid
        LEFT JOIN pg_inherits p ON p.inhrelid = c.oid
        WHERE c.relnamespace = %s::regnamespace""",
    "constraints": """
        SELECT t.relname, o.conname, pg_get_constraintdef(o.oid), o.condeferrable, o.condeferred,
               o.convalidated, o.conislocal, o.coninhcount, o.conindid::regclass::text,
               obj_description(o.oid, 'pg_constraint')
        FROM pg_constraint o JOIN pg_class t ON t.oid = o.conrelid
        WHERE t.relnamespace = %s::regnamespace""",
    "triggers": """
        SELECT t.relname, g.tgname, pg_get_triggerdef(g.oid), g.tgenabled
        FROM pg_trigger g JOIN pg_class t ON t.oid = g.tgrelid
        WHERE t.relnamespace = %s::regnamespace AND NOT g.tgisinternal""",
    "policies": """
        SELECT t.relname, p.polname, p.polcmd, p.polpermissive, p.polroles::regrole[]::text,
               pg_get_expr(p.polqual, t.oid), pg_get_expr(p.polwithcheck, t.oid)
        FROM pg_policy p JOIN pg_class t ON t.oid = p.polrelid
        WHERE t.relnamespace = %s::regnamespace""",
    "views": """
        SELECT c.relname, pg_get_viewdef(c.oid) FROM pg_class c
        WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('v', 'm')""",
    "functions": """
        SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid) FROM pg_proc p
        WHERE p.pronamespace = %s::regnamespace""",
}


def catalogue_state(execute: Execute, schema: str = "app") -> dict[str, list[str]]:
    """By kind, a line for each; without numbers that PostgreSQL gives anew."""
    return {
        kind: sorted(repr(row) for row in execute(query, [schema]))
        for kind, query in _QUERIES.items()
    }

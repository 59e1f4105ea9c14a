"""Which way a table is walked: decided from PostgreSQL's statistics, and explained."""

from __future__ import annotations

from django.db import connections

from operations.batches.walk import Walk
from operations.catalogue.types import Table, TableName
from operations.exceptions import Refused

FEW = 0.05
"""Below this share of due rows an index on the age is worth its random reads."""
MOST_TIES = 1_000
"""Rows with the same age that may fall into one batch because nothing tells them apart."""
SPARSE = 8
"""Times more pages than the live rows need: mostly empty ones, left by earlier purges."""

_FACTS = """
SELECT bool_and(coalesce(am.amname = 'heap', c.relkind IN ('r', 'p'))) AS heap,
       sum(c.reltuples) FILTER (WHERE c.reltuples > 0) AS tuples,
       sum(c.reltuples * coalesce(w.width, 0)) FILTER (WHERE c.reltuples > 0) AS bytes
FROM pg_catalog.pg_class c
LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
LEFT JOIN LATERAL (
    SELECT sum(s.avg_width) + 28 AS width
    FROM pg_catalog.pg_stats s
    JOIN pg_catalog.pg_namespace n ON n.nspname = s.schemaname
    WHERE n.oid = c.relnamespace AND s.tablename = c.relname
) w ON true
WHERE (c.relnamespace, c.relname) IN (
    SELECT n.oid, l.name FROM unnest(%s::text[], %s::text[]) AS l (schema, name)
    JOIN pg_catalog.pg_namespace n ON n.nspname = l.schema)
"""

_AGE_INDEX = """
SELECT bool_and(EXISTS (
    SELECT FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    JOIN pg_catalog.pg_am m ON m.oid = x.relam AND m.amname = 'btree'
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND a.attname = %(age)s
)), max((
    SELECT CASE WHEN s.n_distinct < 0 THEN -1 / s.n_distinct
                WHEN s.n_distinct > 0 THEN c.reltuples / s.n_distinct END
    FROM pg_catalog.pg_stats s
    WHERE s.schemaname = l.schema AND s.tablename = l.name AND s.attname = %(age)s
))
FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS l (schema, name)
JOIN pg_catalog.pg_namespace n ON n.nspname = l.schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = l.name
"""


def walk_choose(
    table: Table,
    *,
    age_column: str = "",
    share: float | None = None,
    using: str = "default",
) -> Walk:
    """Chooses between heap pages, the index on the age column, and the key.

    Args:
        age_column: a plain date or timestamp whose index could be walked; empty for none.
        share: of the table's rows, how many are due; None when not known.

    Raises:
        Refused: the table is not a heap and has no key to walk by.
    """
    leaves = list(table.leaves or (table.name,))
    heap, tuples, needed = _facts(leaves, using)
    if not heap:
        return _by_key(table, "its rows are not kept in heap pages")
    if age_column and share is not None and share < FEW and _age_index(leaves, age_column, using):
        return Walk(
            "key",
            (age_column,),
            f"about {share:.1%} of the rows are due and an index leads to them",
        )
    if table.key and tuples and needed and table.pages > 1_000:
        pages_needed = needed / 8192
        if table.pages > SPARSE * pages_needed:
            return _by_key(
                table,
                f"its {table.pages:,} pages are mostly empty: "
                f"its rows would fit into about {pages_needed:,.0f}",
            )
    return Walk("ctid", (), "whole pages in their order on disk read every page only once")


def _by_key(table: Table, reason: str) -> Walk:
    if table.key is None:
        raise Refused(
            f"{table.name} cannot be walked in batches: {reason}, and it has no key. "
            "Give it a primary key."
        )
    return Walk("key", table.key.columns, reason)


def _facts(leaves: list[TableName], using: str) -> tuple[bool, float, float]:
    with connections[using].cursor() as cursor:
        cursor.execute(_FACTS, [[leaf.schema for leaf in leaves], [leaf.name for leaf in leaves]])
        heap, tuples, needed = cursor.fetchone()
    return bool(heap), float(tuples or 0), float(needed or 0)


def _age_index(leaves: list[TableName], age_column: str, using: str) -> bool:
    with connections[using].cursor() as cursor:
        cursor.execute(
            _AGE_INDEX,
            {
                "age": age_column,
                "schemas": [leaf.schema for leaf in leaves],
                "names": [leaf.name for leaf in leaves],
            },
        )
        indexed, ties = cursor.fetchone()
    return bool(indexed) and ties is not None and ties <= MOST_TIES

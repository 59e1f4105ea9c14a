"""The block range indexes of the histories: pages they do not know yet are always read."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connections

# Of each leaf that rows go to now. The last range is left out until it is full: once an index knows
# a range, every row written into it costs its writer a change of the index.
_INDEXES = """
SELECT i.indexrelid::regclass::text,
    pg_relation_size(i.indrelid) / current_setting('block_size')::bigint / r.pages - 1 AS last,
    r.pages
FROM pg_catalog.pg_class AS h
CROSS JOIN LATERAL pg_catalog.pg_partition_tree(h.oid) AS t
JOIN pg_catalog.pg_index AS i ON i.indrelid = t.relid AND t.isleaf
JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid AND x.relkind = 'i'
JOIN pg_catalog.pg_am AS a ON a.oid = x.relam AND a.amname = 'brin'
CROSS JOIN LATERAL (
    SELECT COALESCE((
        SELECT option_value::bigint FROM pg_catalog.pg_options_to_table(x.reloptions)
        WHERE option_name = 'pages_per_range'
    ), 128) AS pages
) AS r
WHERE h.relnamespace = 'history'::regnamespace AND h.relname = ANY (%s)
    AND pg_relation_size(i.indrelid) / current_setting('block_size')::bigint >= r.pages
ORDER BY i.indexrelid
"""


def summary_index(histories: Sequence[str], *, using: str) -> int:
    """Makes the indexes know all full ranges of pages of these histories; how many were new.

    Every range is a transaction of its own, under a lock that no writer or reader waits for.
    """
    if not histories:
        return 0
    made = 0
    with connections[using].cursor() as cursor:
        cursor.execute(_INDEXES, [list(histories)])
        for index, last, pages in cursor.fetchall():
            for number in range(last, -1, -1):
                cursor.execute(
                    "SELECT pg_catalog.brin_summarize_range(%s::regclass, %s)",
                    [index, number * pages],
                )
                [new] = cursor.fetchone()
                if not new:
                    break
                made += new
    return made

-- Parameters: oid (of a partition that is one or was), parent (oid of what it belongs to by the
-- plan). One row, or none when either is gone.
SELECT n.nspname::pg_catalog.text AS schema,
       c.relname::pg_catalog.text AS name,
       m.nspname::pg_catalog.text AS parent_schema,
       p.relname::pg_catalog.text AS parent_name,
       i.inhparent::pg_catalog.int8 AS belongs_to,
       coalesce(i.inhdetachpending, false) AS leaving,
       coalesce((SELECT pg_catalog.array_agg(k.conname::pg_catalog.text)
                   FROM pg_catalog.pg_constraint k
                  WHERE k.conrelid = c.oid AND k.contype = 'c'), '{}') AS checks
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_class p ON p.oid = %(parent)s::pg_catalog.oid
  JOIN pg_catalog.pg_namespace m ON m.oid = p.relnamespace
  LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
 WHERE c.oid = %(oid)s::pg_catalog.oid

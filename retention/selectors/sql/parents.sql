-- Parameter: table (oid). The foreign keys whose parents can be looked for: enforced, readable, and
-- compared by the constraint's own operators.
SELECT f.conname::pg_catalog.text AS name,
       f.confrelid = f.conrelid AS own,
       n.nspname::pg_catalog.text AS schema,
       r.relname::pg_catalog.text AS table,
       k.columns,
       k.parent_columns,
       k.operator_schemas,
       k.operators
  FROM pg_catalog.pg_constraint AS f
  JOIN pg_catalog.pg_class AS r ON r.oid = f.confrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
 CROSS JOIN LATERAL (
         SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY e.place) AS columns,
                pg_catalog.array_agg(p.attname::pg_catalog.text ORDER BY e.place) AS parent_columns,
                pg_catalog.array_agg(s.nspname::pg_catalog.text ORDER BY e.place) AS operator_schemas,
                pg_catalog.array_agg(o.oprname::pg_catalog.text ORDER BY e.place) AS operators
           FROM ROWS FROM (
                  pg_catalog.unnest(f.conkey),
                  pg_catalog.unnest(f.confkey),
                  pg_catalog.unnest(f.conpfeqop)
                ) WITH ORDINALITY AS e (ours, theirs, operator, place)
           JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = e.ours
           JOIN pg_catalog.pg_attribute AS p ON p.attrelid = f.confrelid AND p.attnum = e.theirs
           JOIN pg_catalog.pg_operator AS o ON o.oid = e.operator
           JOIN pg_catalog.pg_namespace AS s ON s.oid = o.oprnamespace
       ) AS k
 WHERE f.conrelid = %(table)s
   AND f.contype = 'f'
   -- With a parent it is PostgreSQL's own copy for a partition.
   AND f.conparentid = 0
   -- Columns of PostgreSQL 18, asked for by name in a way that older servers understand.
   AND coalesce((pg_catalog.to_jsonb(f) ->> 'conenforced')::pg_catalog.bool, true)
   AND NOT coalesce((pg_catalog.to_jsonb(f) ->> 'conperiod')::pg_catalog.bool, false)
   AND pg_catalog.has_schema_privilege(r.relnamespace, 'USAGE')
   AND pg_catalog.has_table_privilege(f.confrelid, 'SELECT')
   AND NOT pg_catalog.row_security_active(f.confrelid)
 ORDER BY f.conname

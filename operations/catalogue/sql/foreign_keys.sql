-- Parameters: from_oids, to_oids (oid[]): those of the first tables and those that point at the second.
SELECT f.conrelid AS table_oid,
       f.confrelid AS referenced_oid,
       f.conname::pg_catalog.text AS name,
       cn.nspname::pg_catalog.text AS schema,
       c.relname::pg_catalog.text AS table,
       rn.nspname::pg_catalog.text AS referenced_schema,
       r.relname::pg_catalog.text AS referenced_table,
       (SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY k.place)
          FROM pg_catalog.unnest(f.conkey) WITH ORDINALITY AS k (attnum, place)
          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = k.attnum)
         AS columns,
       (SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY k.place)
          FROM pg_catalog.unnest(f.confkey) WITH ORDINALITY AS k (attnum, place)
          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.confrelid AND a.attnum = k.attnum)
         AS referenced_columns,
       (SELECT pg_catalog.array_agg(n.nspname::pg_catalog.text ORDER BY k.place)
          FROM pg_catalog.unnest(f.conpfeqop) WITH ORDINALITY AS k (operator, place)
          JOIN pg_catalog.pg_operator AS o ON o.oid = k.operator
          JOIN pg_catalog.pg_namespace AS n ON n.oid = o.oprnamespace)
         AS operator_schemas,
       (SELECT pg_catalog.array_agg(o.oprname::pg_catalog.text ORDER BY k.place)
          FROM pg_catalog.unnest(f.conpfeqop) WITH ORDINALITY AS k (operator, place)
          JOIN pg_catalog.pg_operator AS o ON o.oid = k.operator)
         AS operators,
       -- A column of PostgreSQL 18, asked for by name in a way that older servers understand.
       coalesce((pg_catalog.to_jsonb(f) ->> 'conperiod')::pg_catalog.bool, false) AS temporal,
       CASE f.confdeltype
         WHEN 'r' THEN 'restrict'
         WHEN 'c' THEN 'cascade'
         WHEN 'n' THEN 'set null'
         WHEN 'd' THEN 'set default'
         ELSE 'no action'
       END AS on_delete,
       EXISTS (
         SELECT
           FROM pg_catalog.pg_index AS x
           JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
           JOIN pg_catalog.pg_am AS m ON m.oid = i.relam AND m.amname IN ('btree', 'hash')
          CROSS JOIN LATERAL (
                  -- An int2vector counts from 0. A column of the key stands in it once at most.
                  SELECT (x.indkey::pg_catalog.int2[])[0:pg_catalog.cardinality(f.conkey) - 1] AS columns
                ) AS first
          WHERE x.indrelid = f.conrelid
            AND x.indisvalid AND x.indisready AND x.indislive AND x.indpred IS NULL
            AND x.indnkeyatts >= pg_catalog.cardinality(f.conkey)
            AND first.columns @> f.conkey
       ) AS indexed
  FROM pg_catalog.pg_constraint AS f
  JOIN pg_catalog.pg_class AS c ON c.oid = f.conrelid
  JOIN pg_catalog.pg_namespace AS cn ON cn.oid = c.relnamespace
  JOIN pg_catalog.pg_class AS r ON r.oid = f.confrelid
  JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
 WHERE f.contype = 'f'
   -- With a parent it is PostgreSQL's own copy for a partition.
   AND f.conparentid = 0
   AND (f.conrelid = ANY (%(from_oids)s::pg_catalog.oid[])
        OR f.confrelid = ANY (%(to_oids)s::pg_catalog.oid[]))

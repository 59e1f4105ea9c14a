-- Parameters: oids (oid[]). The indexes that name a row; the primary key first.
SELECT x.indrelid AS table_oid,
       c.relname::pg_catalog.text AS name,
       x.indisprimary AS primary,
       (SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY k.place)
          FROM pg_catalog.unnest(x.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k (attnum, place)
          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
         -- What follows is only INCLUDEd.
         WHERE k.place <= x.indnkeyatts) AS columns
  FROM pg_catalog.pg_index AS x
  JOIN pg_catalog.pg_class AS c ON c.oid = x.indexrelid
 WHERE x.indrelid = ANY (%(oids)s::pg_catalog.oid[])
   AND x.indisunique AND x.indisvalid AND x.indisready AND x.indislive AND x.indimmediate
   AND x.indpred IS NULL AND x.indexprs IS NULL
 ORDER BY x.indrelid, x.indisprimary DESC, c.relname

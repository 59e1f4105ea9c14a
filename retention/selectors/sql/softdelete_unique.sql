-- Parameters: oids (oid[]). The unique indexes of the tables but their primary keys, each with all
-- that is needed to make it again: one row an index of the tree, the root's first.
SELECT x.indrelid AS root, x.indexrelid AS of, t.relid AS oid, t.parentrelid AS parent,
       t.isleaf AS leaf, t.level,
       n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS table,
       c.oid AS table_oid, k.relname::pg_catalog.text AS name,
       -- What follows the table's name.
       pg_catalog.substr(
         pg_catalog.pg_get_indexdef(t.relid),
         pg_catalog.length(pg_catalog.format(
           'CREATE UNIQUE INDEX %%I ON %%s%%I.%%I ', k.relname,
           CASE WHEN c.relkind = 'p' THEN 'ONLY ' ELSE '' END, n.nspname, c.relname)) + 1) AS shape,
       ts.spcname::pg_catalog.text AS tablespace,
       coalesce(pg_catalog.obj_description(t.relid, 'pg_class'), '') AS index_comment,
       f.conname::pg_catalog.text AS constraint,
       coalesce(pg_catalog.obj_description(f.oid, 'pg_constraint'), '') AS constraint_comment,
       pg_catalog.pg_get_constraintdef(f.oid) AS constraint_definition,
       coalesce(f.condeferrable, false) AS deferrable,
       coalesce(f.condeferred, false) AS deferred,
       coalesce((pg_catalog.to_jsonb(f) ->> 'conperiod')::pg_catalog.bool, false) AS temporal,
       y.indisvalid AS valid, y.indisclustered AS clustered, y.indisreplident AS identity,
       y.indnullsnotdistinct AS nulls_not_distinct,
       pg_catalog.pg_get_expr(y.indpred, y.indrelid) AS predicate,
       ARRAY(SELECT pg_catalog.pg_get_indexdef(t.relid, place, true)
               FROM pg_catalog.generate_series(1, y.indnkeyatts) AS place ORDER BY place) AS columns,
       ARRAY(SELECT g.conname::pg_catalog.text || ' of ' || g.conrelid::pg_catalog.regclass::pg_catalog.text
               FROM pg_catalog.pg_constraint AS g
              WHERE g.contype = 'f' AND g.conparentid = 0 AND g.conindid = x.indexrelid
              ORDER BY 1) AS referenced_by,
       -- Left over from a change that was interrupted.
       ARRAY(SELECT o.relname::pg_catalog.text FROM pg_catalog.pg_class AS o
              WHERE o.relnamespace = c.relnamespace
                AND o.relname IN ('custody_' || t.relid || '_active', 'custody_' || t.relid || '_whole')
             ORDER BY 1) AS begun,
       ARRAY(SELECT o.relname::pg_catalog.text FROM pg_catalog.pg_class AS o
               JOIN pg_catalog.pg_index AS z ON z.indexrelid = o.oid AND NOT z.indisvalid
              WHERE o.relnamespace = c.relnamespace AND o.relkind = 'i'
                AND o.relname IN ('custody_' || t.relid || '_active', 'custody_' || t.relid || '_whole')
             ORDER BY 1) AS broken
  FROM pg_catalog.pg_index AS x
 CROSS JOIN LATERAL (
         SELECT p.relid::pg_catalog.oid, p.parentrelid::pg_catalog.oid, p.isleaf, p.level
           FROM pg_catalog.pg_partition_tree(x.indexrelid) AS p
         UNION ALL
         -- A table that is not partitioned has no tree.
         SELECT x.indexrelid, NULL, true, 0
          WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_partition_tree(x.indexrelid))
       ) AS t (relid, parentrelid, isleaf, level)
  JOIN pg_catalog.pg_index AS y ON y.indexrelid = t.relid
  JOIN pg_catalog.pg_class AS k ON k.oid = t.relid
  JOIN pg_catalog.pg_class AS c ON c.oid = y.indrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_tablespace AS ts ON ts.oid = k.reltablespace
  LEFT JOIN pg_catalog.pg_constraint AS f ON f.conindid = t.relid AND f.contype = 'u'
 WHERE x.indrelid = ANY (%(oids)s::pg_catalog.oid[])
   AND x.indisunique AND NOT x.indisprimary
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_class AS q
                    WHERE q.oid = x.indexrelid AND q.relname ~ '^custody_[0-9]+_(active|whole)$')
 ORDER BY x.indrelid, x.indexrelid, t.level, n.nspname, c.relname

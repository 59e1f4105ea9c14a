-- Parameters: oids (oid[]). The tables and their partitions, each with its index on (deletion_id)
-- WHERE deletion_id IS NOT NULL, whoever made it.
SELECT r.root, t.relid AS oid, n.nspname::pg_catalog.text AS schema,
       c.relname::pg_catalog.text AS name, t.parentrelid AS parent, t.isleaf AS leaf, t.level,
       i.name AS index, i.oid AS index_oid, coalesce(i.valid, false) AS valid,
       coalesce(i.attached, false) AS attached
  FROM unnest(%(oids)s::pg_catalog.oid[]) AS r (root)
 CROSS JOIN LATERAL (
         SELECT p.relid::pg_catalog.oid, p.parentrelid::pg_catalog.oid, p.isleaf, p.level
           FROM pg_catalog.pg_partition_tree(r.root) AS p
         UNION ALL
         -- A table that is not partitioned has no tree.
         SELECT r.root, NULL, true, 0
          WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_partition_tree(r.root))
       ) AS t (relid, parentrelid, isleaf, level)
  JOIN pg_catalog.pg_class AS c ON c.oid = t.relid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
         SELECT x.indexrelid AS oid, k.relname::pg_catalog.text AS name,
                x.indisvalid AND x.indisready AS valid, k.relispartition AS attached
           FROM pg_catalog.pg_index AS x
           JOIN pg_catalog.pg_class AS k ON k.oid = x.indexrelid
           JOIN pg_catalog.pg_am AS m ON m.oid = k.relam AND m.amname = 'btree'
           JOIN pg_catalog.pg_attribute AS a
             ON a.attrelid = x.indrelid AND a.attname = 'deletion_id' AND NOT a.attisdropped
          WHERE x.indrelid = t.relid AND NOT x.indisunique
            AND x.indkey::pg_catalog.text = a.attnum::pg_catalog.text
            AND pg_catalog.pg_get_expr(x.indpred, x.indrelid) = '(deletion_id IS NOT NULL)'
          ORDER BY k.relispartition DESC, x.indisvalid DESC, k.relname
          LIMIT 1
       ) AS i ON true
 ORDER BY r.root, t.level, n.nspname, c.relname

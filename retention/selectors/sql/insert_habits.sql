-- Parameter: table (oid). What decides how rows can be inserted into it.
WITH tree AS (
  SELECT %(table)s::pg_catalog.oid AS node
  UNION
  SELECT p.relid FROM pg_catalog.pg_partition_tree(%(table)s::pg_catalog.oid) AS p
)
SELECT EXISTS (
         SELECT FROM pg_catalog.pg_index AS x
           JOIN tree AS t ON t.node = x.indrelid
          WHERE (x.indisunique OR x.indisexclusion) AND NOT x.indimmediate
       ) AS deferrable,
       EXISTS (
         SELECT FROM pg_catalog.pg_rewrite AS w
          WHERE w.ev_class = %(table)s AND w.ev_type IN ('2', '3') AND w.ev_enabled <> 'D'
       ) AS rules,
       (SELECT pg_catalog.array_agg(w.rulename::pg_catalog.text ORDER BY w.rulename)
          FROM pg_catalog.pg_rewrite AS w
         WHERE w.ev_class = %(table)s AND w.ev_type = '3' AND w.ev_enabled <> 'D'
       ) AS insert_rules

-- Parameters: oid (oid). What of the triggers and policies around a table with soft delete is missing
-- or switched off, on it, its partitions and the tables that refer to it. Of those that have soft
-- delete themselves it is told with them.
WITH entry AS (
  SELECT s.row_security, s.hidden_from FROM custody.retention_softdeletetable AS s
   WHERE s.table_oid = %(oid)s::pg_catalog.int8 AND s.disabled_at IS NULL
), wanted AS (
  SELECT DISTINCT w.relation, w.name
    FROM unnest(%(oid)s::pg_catalog.oid || custody.softdelete_children(%(oid)s::pg_catalog.oid)) AS c (oid)
   CROSS JOIN LATERAL custody.softdelete_triggers(c.oid) AS w
   WHERE c.oid = %(oid)s::pg_catalog.oid
      OR NOT EXISTS (SELECT FROM custody.retention_softdeletetable AS s
                      WHERE s.table_oid = c.oid::pg_catalog.int8 AND s.disabled_at IS NULL)
)
SELECT 'trigger' AS kind, w.name, w.relation::pg_catalog.regclass::pg_catalog.text AS table,
       g.oid IS NOT NULL AS off
  FROM wanted AS w
  LEFT JOIN pg_catalog.pg_trigger AS g
    ON g.tgrelid = w.relation
   AND (g.tgname = w.name
        -- Its condition names the role that made it.
        OR pg_catalog.starts_with(w.name, 'custody_softdelete_bin_')
           AND pg_catalog.starts_with(g.tgname, 'custody_softdelete_bin_'))
 WHERE g.oid IS NULL OR g.tgenabled = 'D'
UNION ALL
SELECT 'policy', p.name, t.relation::pg_catalog.regclass::pg_catalog.text, false
  FROM entry AS s
 CROSS JOIN LATERAL custody.softdelete_tree(%(oid)s::pg_catalog.oid) AS t
 CROSS JOIN unnest(ARRAY['custody_hidden_select', 'custody_hidden_update', 'custody_hidden_delete'])
         AS p (name)
 WHERE s.row_security
   AND EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = ANY (s.hidden_from))
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_policy AS q
                    WHERE q.polrelid = t.relation AND q.polname = p.name)
 ORDER BY 3, 1, 2

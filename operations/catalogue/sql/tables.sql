-- Parameters: oids (oid[]). One row a table.
-- pg_inherits is walked here because pg_partition_tree() keeps its locks until the transaction ends.
WITH RECURSIVE wanted AS (
  SELECT w.oid FROM pg_catalog.unnest(%(oids)s::pg_catalog.oid[]) AS w (oid)
), tree AS (
  -- Each wanted table with itself and the partitions below it.
  SELECT w.oid AS root, w.oid AS node FROM wanted AS w
  UNION ALL
  SELECT t.root, i.inhrelid
    FROM tree AS t
    JOIN pg_catalog.pg_inherits AS i ON i.inhparent = t.node AND NOT i.inhdetachpending
    JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid AND c.relispartition
), ancestry AS (
  -- Each wanted table with the partitioned tables above it.
  SELECT w.oid AS root, w.oid AS node FROM wanted AS w
  UNION ALL
  SELECT a.root, i.inhparent
    FROM ancestry AS a
    JOIN pg_catalog.pg_class AS c ON c.oid = a.node AND c.relispartition
    JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid
), sizes AS MATERIALIZED (
  -- Once a table, however many trees it is in: each size asks the file system.
  SELECT s.node, s.bytes,
         s.heap / pg_catalog.current_setting('block_size')::pg_catalog.int8 AS pages
    FROM (
      SELECT d.node,
             coalesce(pg_catalog.pg_total_relation_size(d.node), 0) AS bytes,
             coalesce(pg_catalog.pg_relation_size(d.node), 0) AS heap
        FROM (SELECT DISTINCT t.node FROM tree AS t) AS d
    ) AS s
), leaves AS (
  SELECT t.root, t.node, c.relkind, n.nspname, c.relname, s.bytes, s.pages,
         -- As the planner does: the rows a page had when counted, on the pages there are now.
         CASE
           WHEN c.relkind = 'f' THEN nullif(c.reltuples, -1)::pg_catalog.float8
           WHEN s.pages = 0 THEN 0
           WHEN c.relpages > 0 AND c.reltuples >= 0
           THEN c.reltuples::pg_catalog.float8 / c.relpages * s.pages
         END AS rows
    FROM tree AS t
    JOIN pg_catalog.pg_class AS c ON c.oid = t.node AND c.relkind <> 'p'
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN sizes AS s ON s.node = t.node
), totals AS (
  SELECT l.root,
         pg_catalog.sum(l.bytes)::pg_catalog.int8 AS bytes,
         pg_catalog.sum(l.pages)::pg_catalog.int8 AS pages,
         pg_catalog.round(pg_catalog.sum(l.rows))::pg_catalog.int8 AS rows,
         -- A leaf that is known to be empty tells nothing about one never analysed.
         coalesce(pg_catalog.bool_or(l.rows IS NOT NULL AND (l.pages > 0 OR l.relkind = 'f')), false)
           OR pg_catalog.bool_and(l.rows IS NOT NULL) AS known,
         coalesce(pg_catalog.array_agg(l.nspname::pg_catalog.text) FILTER (WHERE l.node <> l.root), '{}')
           AS leaf_schemas,
         coalesce(pg_catalog.array_agg(l.relname::pg_catalog.text) FILTER (WHERE l.node <> l.root), '{}')
           AS leaf_names
    FROM leaves AS l
   GROUP BY l.root
), related AS (
  SELECT r.root,
         pg_catalog.array_agg(DISTINCT r.node) AS oids,
         -- A leaf is walked by its own name, and then its own row-level security applies.
         pg_catalog.bool_or(pg_catalog.row_security_active(r.node)) FILTER (WHERE r.below)
           AS row_security
    FROM (
      SELECT t.root, t.node, true AS below FROM tree AS t
      UNION ALL
      SELECT a.root, a.node, false FROM ancestry AS a
    ) AS r
   GROUP BY r.root
), heirs AS (
  SELECT i.inhparent AS root,
         pg_catalog.array_agg(n.nspname::pg_catalog.text) AS schemas,
         pg_catalog.array_agg(c.relname::pg_catalog.text) AS names
    FROM pg_catalog.pg_inherits AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid AND NOT c.relispartition
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
   GROUP BY i.inhparent
)
SELECT c.oid,
       n.nspname::pg_catalog.text AS schema,
       c.relname::pg_catalog.text AS name,
       CASE c.relkind WHEN 'p' THEN 'partitioned' WHEN 'f' THEN 'foreign' ELSE 'table' END AS kind,
       pn.nspname::pg_catalog.text AS parent_schema,
       p.relname::pg_catalog.text AS parent_name,
       coalesce(pg_catalog.pg_get_expr(c.relpartbound, c.oid), '') AS partition_bound,
       CASE WHEN c.relkind = 'p' THEN coalesce(pg_catalog.pg_get_partkeydef(c.oid), '') ELSE '' END
         AS partition_key,
       coalesce(t.leaf_schemas, '{}') AS leaf_schemas,
       coalesce(t.leaf_names, '{}') AS leaf_names,
       coalesce(h.schemas, '{}') AS heir_schemas,
       coalesce(h.names, '{}') AS heir_names,
       r.oids AS related,
       r.row_security,
       CASE WHEN t.known THEN t.rows WHEN t.root IS NULL THEN 0 ELSE -1 END AS estimated_rows,
       coalesce(t.bytes, 0) AS estimated_bytes,
       coalesce(t.pages, 0) AS pages,
       coalesce(d.description, '') AS comment
  FROM wanted AS w
  JOIN pg_catalog.pg_class AS c ON c.oid = w.oid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN related AS r ON r.root = c.oid
  LEFT JOIN totals AS t ON t.root = c.oid
  LEFT JOIN heirs AS h ON h.root = c.oid
  LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid AND c.relispartition
  LEFT JOIN pg_catalog.pg_class AS p ON p.oid = i.inhparent
  LEFT JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace
  LEFT JOIN pg_catalog.pg_description AS d
    ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass

-- Parameters: oid (of a partitioned table). One row for it and for each partition below it, with
-- what decides whether that one can be dropped whole.
WITH RECURSIVE tree AS (
    SELECT %(oid)s::pg_catalog.oid AS node, NULL::pg_catalog.oid AS parent, false AS leaving
    UNION ALL
    SELECT i.inhrelid, t.node, i.inhdetachpending
      FROM tree t
      JOIN pg_catalog.pg_inherits i ON i.inhparent = t.node
      JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relispartition
), related AS (
    SELECT node FROM tree
    UNION
    SELECT i.inhparent FROM related r
      JOIN pg_catalog.pg_class c ON c.oid = r.node AND c.relispartition
      JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
), published AS (
    SELECT pg_catalog.min(p.pubname::pg_catalog.text) AS name
      FROM pg_catalog.pg_publication p
     WHERE p.pubdelete
       AND (p.puballtables
            OR EXISTS (SELECT FROM pg_catalog.pg_publication_rel r
                       JOIN related ON related.node = r.prrelid WHERE r.prpubid = p.oid)
            OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace s
                       JOIN pg_catalog.pg_class c ON c.relnamespace = s.pnnspid
                       JOIN related ON related.node = c.oid WHERE s.pnpubid = p.oid))
)
SELECT t.node::pg_catalog.int8 AS oid,
       t.parent::pg_catalog.int8 AS parent,
       n.nspname::pg_catalog.text AS schema,
       c.relname::pg_catalog.text AS name,
       c.relkind::pg_catalog.text AS kind,
       t.leaving,
       p.partstrat = 'r' AND p.partnatts = 1 AS by_one_range,
       (SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum = p.partattrs[0] AND a.attnum > 0) AS by_column,
       coalesce(p.partdefid <> 0, false) AS has_default,
       coalesce(pg_catalog.pg_get_expr(c.relpartbound, c.oid), '') AS bound,
       pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owned,
       pg_catalog.pg_get_userbyid(c.relowner)::pg_catalog.text AS owner,
       c.relkind = 'p' OR coalesce(m.amname = 'heap', false) AS heap,
       CASE WHEN c.relkind = 'r' THEN coalesce(pg_catalog.pg_total_relation_size(c.oid), 0) ELSE 0
       END AS bytes,
       CASE
         WHEN c.relkind <> 'r' THEN 0
         WHEN pg_catalog.pg_relation_size(c.oid) = 0 THEN 0
         WHEN c.relpages > 0 AND c.reltuples >= 0
         THEN pg_catalog.round(
                c.reltuples::pg_catalog.float8 / c.relpages * pg_catalog.pg_relation_size(c.oid)
                / pg_catalog.current_setting('block_size')::pg_catalog.int8)::pg_catalog.int8
       END AS rows,
       published.name AS published,
       (SELECT pg_catalog.min(f.conname::pg_catalog.text)
          FROM pg_catalog.pg_constraint f
         WHERE f.contype = 'f' AND f.confrelid = c.oid) AS referenced,
       -- A DELETE fires these, a DROP does not. Of foreign keys there is none here. Ours write the
       -- history, which the purge itself looks after.
       (SELECT pg_catalog.min(g.tgname::pg_catalog.text)
          FROM pg_catalog.pg_trigger g
         WHERE c.relkind = 'r' AND g.tgrelid = c.oid AND g.tgtype::pg_catalog.int4 & 8 <> 0
           AND g.tgenabled IN ('O', 'A')
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
                           WHERE k.oid = g.tgconstraint AND k.contype <> 't')
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc f
                           JOIN pg_catalog.pg_namespace w ON w.oid = f.pronamespace
                           WHERE f.oid = g.tgfoid AND w.nspname IN ('history', 'custody')
                             AND pg_catalog.starts_with(g.tgname::pg_catalog.text,
                                                        'custody_audit_'))) AS fires,
       (SELECT pg_catalog.min(r.rulename::pg_catalog.text)
          FROM pg_catalog.pg_rewrite r
         WHERE c.relkind = 'r' AND r.ev_class = c.oid AND r.ev_type = '4') AS rewritten,
       -- Views, functions, columns of its row type: DROP without CASCADE refuses them.
       (SELECT pg_catalog.min(coalesce(
                 CASE v.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' END
                   || v.oid::pg_catalog.regclass::pg_catalog.text,
                 pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)))
          FROM pg_catalog.pg_depend d
          LEFT JOIN pg_catalog.pg_rewrite w
            ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND w.oid = d.objid
          LEFT JOIN pg_catalog.pg_class v ON v.oid = w.ev_class
         WHERE d.deptype = 'n'
           AND ((d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = c.oid)
                OR (d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass
                    AND d.refobjid = c.reltype))
           -- What is the partition's own goes with it, such as a generated column's expression.
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend o
                           WHERE o.classid = d.classid AND o.objid = d.objid
                             AND o.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
                             AND o.refobjid = c.oid AND o.deptype <> 'n')) AS needed_by
  FROM tree t
 CROSS JOIN published
  JOIN pg_catalog.pg_class c ON c.oid = t.node
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = c.oid
  LEFT JOIN pg_catalog.pg_am m ON m.oid = c.relam
 ORDER BY schema, name

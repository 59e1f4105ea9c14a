-- Parameter: table (oid). The columns of a table as it is now, by attnum.
WITH RECURSIVE under AS (
  SELECT a.attnum, a.atttypid AS type
    FROM pg_catalog.pg_attribute AS a
   WHERE a.attrelid = %(table)s AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT u.attnum, t.typbasetype
    FROM under AS u
    JOIN pg_catalog.pg_type AS t ON t.oid = u.type AND t.typtype = 'd'
)
SELECT a.attnum,
       a.attname::pg_catalog.text AS name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
       custody.audit_type_name(a.atttypid) AS source,
       n.nspname::pg_catalog.text AS base_schema,
       b.typname::pg_catalog.text AS base_name,
       CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' ELSE '' END AS generated,
       CASE WHEN a.attgenerated = 'v'
            THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) ELSE '' END AS expression,
       -- The columns that the expression reads.
       CASE WHEN a.attgenerated = 'v' THEN ARRAY(
         SELECT DISTINCT p.refobjsubid::pg_catalog.int4
           FROM pg_catalog.pg_depend AS p
          WHERE p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND p.objid = d.oid
            AND p.refobjid = a.attrelid AND p.refobjsubid > 0 AND p.refobjsubid <> a.attnum
       ) ELSE '{}' END AS reads
  FROM under AS u
  JOIN pg_catalog.pg_type AS b ON b.oid = u.type AND b.typtype <> 'd'
  JOIN pg_catalog.pg_namespace AS n ON n.oid = b.typnamespace
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = %(table)s AND a.attnum = u.attnum
  LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 ORDER BY a.attnum

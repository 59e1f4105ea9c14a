-- Parameters: oids (oid[]). One row a column, in the table's order.
WITH RECURSIVE under AS (
  -- What is below each domain, one level a row; the last is no domain.
  SELECT d.oid AS domain, d.typbasetype AS type
    FROM pg_catalog.pg_type AS d
   WHERE d.typtype = 'd'
  UNION ALL
  SELECT u.domain, d.typbasetype
    FROM under AS u
    JOIN pg_catalog.pg_type AS d ON d.oid = u.type AND d.typtype = 'd'
), base AS (
  SELECT u.domain, u.type
    FROM under AS u
    JOIN pg_catalog.pg_type AS b ON b.oid = u.type AND b.typtype <> 'd'
), shown AS (
  SELECT t.oid, t.typtype, t.typcategory, t.typname, n.nspname, t.typcollation,
         e.oid IS NOT NULL AS is_array,
         coalesce(e.typname, t.typname) AS element,
         -- format_type() leaves the schema out where the search_path would find the type.
         CASE
           WHEN coalesce(en.nspname, n.nspname) <> 'pg_catalog'
                AND pg_catalog.pg_type_is_visible(coalesce(e.oid, t.oid))
           THEN pg_catalog.quote_ident(coalesce(en.nspname, n.nspname)) || '.'
           ELSE ''
         END AS prefix,
         coalesce(en.nspname, n.nspname) = 'pg_catalog' AS is_builtin
    FROM pg_catalog.pg_type AS t
    JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem AND e.typarray = t.oid
    LEFT JOIN pg_catalog.pg_namespace AS en ON en.oid = e.typnamespace
)
SELECT a.attrelid AS table_oid,
       a.attname::pg_catalog.text AS name,
       a.attnum AS position,
       t.prefix || pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
       CASE
         WHEN NOT b.is_builtin THEN b.prefix || pg_catalog.format_type(b.oid, NULL)
         WHEN b.is_array THEN b.element || '[]'
         ELSE b.typname
       END AS base_type,
       CASE WHEN t.typtype = 'd' THEN 'domain' ELSE k.kind END AS kind,
       b.typcategory::pg_catalog.text AS category,
       a.attnotnull AND NOT EXISTS (
         -- From version 18 on, a NOT NULL may be there and not yet valid.
         SELECT FROM pg_catalog.pg_constraint AS c
          WHERE c.conrelid = a.attrelid AND c.contype = 'n' AND NOT c.convalidated
            AND a.attnum = ANY (c.conkey)
       ) AS not_null,
       CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' ELSE '' END AS generated,
       CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' ELSE '' END AS identity,
       a.atthasdef AND a.attgenerated = '' AS has_default,
       CASE
         WHEN o.collname IS NULL OR o.collname = 'default' THEN ''
         WHEN cn.nspname = 'pg_catalog' THEN pg_catalog.quote_ident(o.collname)
         ELSE pg_catalog.quote_ident(cn.nspname) || '.' || pg_catalog.quote_ident(o.collname)
       END AS collation,
       b.nspname::pg_catalog.text AS base_schema,
       b.typname::pg_catalog.text AS base_name,
       k.kind AS base_kind
  FROM pg_catalog.pg_attribute AS a
  JOIN shown AS t ON t.oid = a.atttypid
  LEFT JOIN base ON base.domain = a.atttypid
  JOIN shown AS b ON b.oid = coalesce(base.type, a.atttypid)
 CROSS JOIN LATERAL (
         SELECT CASE
                  WHEN b.is_array THEN 'array'
                  WHEN b.typtype = 'e' THEN 'enum'
                  WHEN b.typtype = 'r' THEN 'range'
                  WHEN b.typtype = 'm' THEN 'multirange'
                  WHEN b.typtype = 'c' THEN 'composite'
                  ELSE 'base'
                END AS kind
       ) AS k
  LEFT JOIN pg_catalog.pg_collation AS o ON o.oid = a.attcollation
  LEFT JOIN pg_catalog.pg_namespace AS cn ON cn.oid = o.collnamespace
 WHERE a.attrelid = ANY (%(oids)s::pg_catalog.oid[])
   AND a.attnum > 0
   AND NOT a.attisdropped
 ORDER BY a.attrelid, a.attnum

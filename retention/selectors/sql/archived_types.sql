-- Parameter: names (text[]), as format_type() printed them. One row a name; `plain` is what is under a
-- domain, and NULL when there is no such type any more. The others tell of that plain type what
-- operations.catalogue.types.Column tells of a column's base type.
WITH RECURSIVE asked AS (
  SELECT DISTINCT u.name, pg_catalog.to_regtype(u.name)::pg_catalog.oid AS type
    FROM pg_catalog.unnest(%(names)s::pg_catalog.text[]) AS u (name)
), under AS (
  SELECT a.name, t.oid, t.typtype, t.typbasetype, t.typtypmod, a.name AS shown
    FROM asked AS a
    JOIN pg_catalog.pg_type AS t ON t.oid = a.type
  UNION ALL
  SELECT u.name, t.oid, t.typtype, t.typbasetype, t.typtypmod,
         pg_catalog.format_type(t.oid, u.typtypmod)
    FROM under AS u
    JOIN pg_catalog.pg_type AS t ON t.oid = u.typbasetype
   WHERE u.typtype = 'd'
)
SELECT a.name,
       u.shown AS plain,
       n.nspname::pg_catalog.text AS base_schema,
       t.typname::pg_catalog.text AS base_name,
       t.typcategory::pg_catalog.text AS category,
       CASE
         WHEN coalesce(en.nspname, n.nspname) <> 'pg_catalog'
         THEN pg_catalog.format_type(t.oid, NULL)
         WHEN e.oid IS NOT NULL THEN e.typname || '[]'
         ELSE t.typname
       END AS base_type,
       CASE
         WHEN e.oid IS NOT NULL THEN 'array'
         WHEN t.typtype = 'e' THEN 'enum'
         WHEN t.typtype = 'r' THEN 'range'
         WHEN t.typtype = 'm' THEN 'multirange'
         WHEN t.typtype = 'c' THEN 'composite'
         ELSE 'base'
       END AS base_kind,
       CASE WHEN e.typtype = 'd' THEN 'domain' WHEN e.typtype = 'e' THEN 'enum'
            WHEN e.typtype = 'c' THEN 'composite' WHEN e.oid IS NOT NULL THEN 'base'
       END AS element_kind
  FROM asked AS a
  LEFT JOIN under AS u ON u.name = a.name AND u.typtype <> 'd'
  LEFT JOIN pg_catalog.pg_type AS t ON t.oid = u.oid
  LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
  LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem AND e.typarray = t.oid
  LEFT JOIN pg_catalog.pg_namespace AS en ON en.oid = e.typnamespace

-- Parameter: names (text[]), as format_type() printed them. One row a name; `plain` is what is under a
-- domain, and NULL when there is no such type any more.
WITH RECURSIVE asked AS (
  SELECT DISTINCT u.name, pg_catalog.to_regtype(u.name)::pg_catalog.oid AS type
    FROM pg_catalog.unnest(%(names)s::pg_catalog.text[]) AS u (name)
), under AS (
  SELECT a.name, t.typname, t.typnamespace, t.typtype, t.typbasetype, t.typtypmod, a.name AS shown
    FROM asked AS a
    JOIN pg_catalog.pg_type AS t ON t.oid = a.type
  UNION ALL
  SELECT u.name, t.typname, t.typnamespace, t.typtype, t.typbasetype, t.typtypmod,
         pg_catalog.format_type(t.oid, u.typtypmod)
    FROM under AS u
    JOIN pg_catalog.pg_type AS t ON t.oid = u.typbasetype
   WHERE u.typtype = 'd'
)
SELECT a.name,
       u.shown AS plain,
       n.nspname::pg_catalog.text AS base_schema,
       u.typname::pg_catalog.text AS base_name
  FROM asked AS a
  LEFT JOIN under AS u ON u.name = a.name AND u.typtype <> 'd'
  LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = u.typnamespace

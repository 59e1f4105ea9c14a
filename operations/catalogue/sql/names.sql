-- Parameters: schemas (text[]; null: every schema of users), own (text[]: the console's schemas),
-- name (text; null: every table).
SELECT c.oid,
       n.nspname::pg_catalog.text AS schema,
       c.relname::pg_catalog.text AS name
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'f')
   AND c.relpersistence <> 't'
   AND CASE
         WHEN %(schemas)s::pg_catalog.text[] IS NOT NULL
         THEN n.nspname::pg_catalog.text = ANY (%(schemas)s::pg_catalog.text[])
         -- The prefix pg_ is PostgreSQL's own.
         ELSE NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_')
              AND n.nspname <> 'information_schema'
              AND n.nspname::pg_catalog.text <> ALL (%(own)s::pg_catalog.text[])
       END
   -- As text: as a name, a longer parameter would be cut to 63 bytes.
   AND (%(name)s::pg_catalog.text IS NULL OR c.relname = %(name)s::pg_catalog.text)

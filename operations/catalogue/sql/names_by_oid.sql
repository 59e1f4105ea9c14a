-- Parameters: oids (oid[]).
SELECT c.oid,
       n.nspname::pg_catalog.text AS schema,
       c.relname::pg_catalog.text AS name
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = ANY (%(oids)s::pg_catalog.oid[])

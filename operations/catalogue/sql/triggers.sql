-- Parameters: oids (oid[]). The users' triggers, in the order in which PostgreSQL fires them.
SELECT t.tgrelid AS table_oid,
       t.tgname::pg_catalog.text AS name,
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(p.proname) AS function,
       CASE
         WHEN t.tgtype::pg_catalog.int4 & 2 <> 0 THEN 'before'
         WHEN t.tgtype::pg_catalog.int4 & 64 <> 0 THEN 'instead of'
         ELSE 'after'
       END AS timing,
       pg_catalog.array_remove(ARRAY[
         CASE WHEN t.tgtype::pg_catalog.int4 & 4 <> 0 THEN 'insert' END,
         CASE WHEN t.tgtype::pg_catalog.int4 & 16 <> 0 THEN 'update' END,
         CASE WHEN t.tgtype::pg_catalog.int4 & 8 <> 0 THEN 'delete' END,
         CASE WHEN t.tgtype::pg_catalog.int4 & 32 <> 0 THEN 'truncate' END
       ], NULL) AS events,
       CASE WHEN t.tgtype::pg_catalog.int4 & 1 <> 0 THEN 'row' ELSE 'statement' END AS level,
       CASE t.tgenabled
         WHEN 'D' THEN 'disabled'
         WHEN 'R' THEN 'replica'
         WHEN 'A' THEN 'always'
         ELSE 'origin'
       END AS enabled
  FROM pg_catalog.pg_trigger AS t
  JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
 WHERE t.tgrelid = ANY (%(oids)s::pg_catalog.oid[])
   AND NOT t.tgisinternal
   -- With a parent it is PostgreSQL's own copy for a partition.
   AND t.tgparentid = 0
 ORDER BY t.tgrelid, t.tgname

-- Parameters: oid (of a detached partition). Its leaves, itself when it is one, by oid.
-- `identity` is another one as soon as anything could have been written since the guard was put
-- there: its triggers were switched off or made anew (xmin), the table was rewritten or emptied
-- (filenode), its columns are others.
WITH RECURSIVE tree AS (
    SELECT %(oid)s::pg_catalog.oid AS node
    UNION ALL
    SELECT i.inhrelid FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.node
)
SELECT c.oid::pg_catalog.int8 AS oid,
       n.nspname::pg_catalog.text AS schema,
       c.relname::pg_catalog.text AS name,
       pg_catalog.pg_relation_size(c.oid)
         / pg_catalog.current_setting('block_size')::pg_catalog.int8 AS pages,
       pg_catalog.pg_total_relation_size(c.oid) AS bytes,
       pg_catalog.concat_ws(' ',
         pg_catalog.pg_relation_filenode(c.oid)::pg_catalog.text,
         (SELECT pg_catalog.string_agg(pg_catalog.concat(t.tgname, ':', t.tgenabled, ':', t.xmin),
                                       ' ' ORDER BY t.tgname)
            FROM pg_catalog.pg_trigger t
           WHERE t.tgrelid = c.oid
             AND t.tgfoid = 'custody.partition_guard()'::pg_catalog.regprocedure),
         (SELECT pg_catalog.md5(pg_catalog.string_agg(
                   pg_catalog.concat(a.attnum, ':', a.attname, ':',
                                     pg_catalog.format_type(a.atttypid, a.atttypmod)),
                   ' ' ORDER BY a.attnum))
            FROM pg_catalog.pg_attribute a
           WHERE a.attrelid = c.oid AND a.attnum > 0)) AS identity
  FROM tree t
  JOIN pg_catalog.pg_class c ON c.oid = t.node AND c.relkind <> 'p'
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 ORDER BY c.oid

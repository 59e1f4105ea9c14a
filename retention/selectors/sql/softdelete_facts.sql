-- Parameters: oids (oid[]). What soft delete has to know of a table beyond the catalogue's Table.
SELECT c.oid,
       pg_catalog.pg_get_userbyid(c.relowner)::pg_catalog.text AS owner,
       pg_catalog.pg_has_role(current_user, c.relowner, 'USAGE') AS owned,
       c.relrowsecurity AS row_security,
       ARRAY(SELECT p FROM unnest(ARRAY['SELECT', 'UPDATE', 'DELETE', 'TRIGGER']) AS p
              WHERE NOT pg_catalog.has_table_privilege(c.oid, p)) AS lacking,
       NOT pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE') AS schema_closed,
       pg_catalog.has_schema_privilege(c.relnamespace, 'CREATE') AS may_create,
       EXISTS (SELECT FROM pg_catalog.pg_inherits AS i
                WHERE i.inhrelid = c.oid AND NOT c.relispartition) AS heir,
       EXISTS (SELECT FROM pg_catalog.pg_partition_tree(c.oid) AS t
                 JOIN pg_catalog.pg_class AS l ON l.oid = t.relid AND l.relkind = 'f') AS foreign_leaf,
       -- A column of PostgreSQL 18, asked for by name in a way that older servers understand.
       ARRAY(SELECT k.conname::pg_catalog.text FROM pg_catalog.pg_constraint AS k
              WHERE c.oid IN (k.conrelid, k.confrelid) AND k.contype IN ('p', 'f')
                AND coalesce((pg_catalog.to_jsonb(k) ->> 'conperiod')::pg_catalog.bool, false)
              ORDER BY 1) AS temporal
  FROM pg_catalog.pg_class AS c
 WHERE c.oid = ANY (%(oids)s::pg_catalog.oid[])

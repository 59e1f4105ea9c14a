-- The table of each scope of an active hold, by the name that it has now.
-- Parameters: database (text).
SELECT DISTINCT ON (s.id)
       s.id AS scope_id,
       n.nspname::pg_catalog.text AS schema,
       c.relname::pg_catalog.text AS name
  FROM custody.retention_holdscope s
  JOIN custody.retention_legalhold h ON h.id = s.hold_id AND h.released_at IS NULL
 CROSS JOIN (
       -- As in this_database.sql.
       SELECT p.system_identifier::pg_catalog.text || '/' || d.oid::pg_catalog.text AS this_database
         FROM pg_catalog.pg_control_system() p
         JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()) p
  JOIN pg_catalog.pg_class c ON c.relkind IN ('r', 'p', 'f')
  JOIN pg_catalog.pg_namespace n
    ON n.oid = c.relnamespace
   AND ((c.oid::pg_catalog.int8 = s.table_oid AND s.shape ->> 'database' = p.this_database)
        OR (n.nspname::pg_catalog.text = s.schema_name AND c.relname::pg_catalog.text = s.table_name))
 WHERE s.database = %(database)s
 -- The table that it was placed on, before another that has its name now.
 ORDER BY s.id, c.oid::pg_catalog.int8 = s.table_oid DESC

-- Scopes of active holds that bear on a table: on itself, on what it is a partition (or an heir)
-- of, on its own partitions. A scope follows its table when that is renamed.
-- Parameters: oid (of the table), database (text).
WITH RECURSIVE above AS (
    SELECT %(oid)s::pg_catalog.oid AS node
    UNION
    SELECT i.inhparent FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.node
), below AS (
    SELECT i.inhrelid AS node FROM pg_catalog.pg_inherits i
    WHERE i.inhparent = %(oid)s::pg_catalog.oid
    UNION
    SELECT i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.node
), family AS (
    SELECT node, false AS is_below FROM above
    UNION ALL
    SELECT node, true FROM below
), place AS (
    -- As in this_database.sql.
    SELECT p.system_identifier::pg_catalog.text || '/' || d.oid::pg_catalog.text AS this_database
      FROM pg_catalog.pg_control_system() p
      JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()
)
SELECT s.id AS scope_id,
       f.node::pg_catalog.int8 AS oid,
       f.is_below,
       n.nspname::pg_catalog.text AS schema,
       c.relname::pg_catalog.text AS name
  FROM custody.retention_holdscope s
  JOIN custody.retention_legalhold h ON h.id = s.hold_id AND h.released_at IS NULL
  JOIN family f ON true
 CROSS JOIN place p
  JOIN pg_catalog.pg_class c ON c.oid = f.node
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE s.database = %(database)s
   AND ((s.table_oid = f.node::pg_catalog.int8 AND s.shape ->> 'database' = p.this_database)
        OR (s.schema_name = n.nspname::pg_catalog.text
            AND s.table_name = c.relname::pg_catalog.text))
 ORDER BY s.id

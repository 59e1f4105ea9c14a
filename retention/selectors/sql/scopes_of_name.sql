-- Active holds on a table by its name, and on its family while it exists.
-- Parameters: table (text, as SQL writes it), schema, name, database.
WITH RECURSIVE above AS (
    SELECT pg_catalog.to_regclass(%(table)s)::pg_catalog.oid AS node
    UNION
    SELECT i.inhparent FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.node
), below AS (
    SELECT pg_catalog.to_regclass(%(table)s)::pg_catalog.oid AS node
    UNION
    SELECT i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.node
), family AS (
    SELECT c.oid, n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name
      FROM (SELECT node FROM above UNION SELECT node FROM below) f
      JOIN pg_catalog.pg_class c ON c.oid = f.node
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    UNION
    SELECT NULL, %(schema)s, %(name)s
), place AS (
    -- As in this_database.sql.
    SELECT p.system_identifier::pg_catalog.text || '/' || d.oid::pg_catalog.text AS this_database
      FROM pg_catalog.pg_control_system() p
      JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()
)
SELECT DISTINCT s.hold_id
  FROM custody.retention_holdscope s
  JOIN custody.retention_legalhold h ON h.id = s.hold_id AND h.released_at IS NULL
 CROSS JOIN place p
  JOIN family f ON (f.schema = s.schema_name AND f.name = s.table_name)
                OR (f.oid::pg_catalog.int8 = s.table_oid AND s.shape ->> 'database' = p.this_database)
 WHERE s.database = %(database)s

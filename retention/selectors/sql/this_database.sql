-- Which database of which cluster this is: the same after a physical restore, another one after a
-- logical one.
SELECT p.system_identifier::pg_catalog.text || '/' || d.oid::pg_catalog.text AS this_database
  FROM pg_catalog.pg_control_system() p
  JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()

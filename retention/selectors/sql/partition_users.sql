-- Parameters: oids (oid[]). Transactions of others that have a lock on any of them.
SELECT DISTINCT l.virtualtransaction AS transaction, l.pid,
       coalesce(a.usename::pg_catalog.text, 'unknown') AS role, a.xact_start AS began
  FROM pg_catalog.pg_locks l
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'relation' AND l.granted
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d
                     WHERE d.datname = pg_catalog.current_database())
   AND l.relation = ANY (%(oids)s::pg_catalog.oid[])
   AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
 ORDER BY l.pid

-- Parameters: schemas, names (text[]): the tables that have rows, a partitioned table's leaves.
SELECT coalesce(pg_catalog.sum(c.reltuples) FILTER (WHERE c.reltuples > 0), 0)::pg_catalog.float8
         AS rows,
       coalesce(pg_catalog.sum(c.reltuples * w.width) FILTER (WHERE c.reltuples > 0)
                / nullif(pg_catalog.sum(c.reltuples) FILTER (WHERE c.reltuples > 0), 0), 0
       )::pg_catalog.float8 AS width,
       coalesce(pg_catalog.sum(pg_catalog.pg_relation_size(c.oid)), 0)::pg_catalog.int8 AS heap,
       coalesce(pg_catalog.sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::pg_catalog.int8
         AS bytes,
       pg_catalog.current_setting('autovacuum')::pg_catalog.bool
         AND pg_catalog.current_setting('track_counts')::pg_catalog.bool
         AND coalesce(pg_catalog.bool_and(coalesce(o.enabled, true)), true) AS autovacuum,
       -- As autovacuum reckons when it comes to a table: leaf by leaf.
       coalesce(pg_catalog.bool_or(
         pg_catalog.pg_stat_get_dead_tuples(c.oid) >
           coalesce(o.threshold,
                    pg_catalog.current_setting('autovacuum_vacuum_threshold')::pg_catalog.float8)
           + coalesce(o.scale, pg_catalog.current_setting('autovacuum_vacuum_scale_factor')
                                 ::pg_catalog.float8) * greatest(c.reltuples, 0)), false) AS comes
  FROM unnest(%(schemas)s::pg_catalog.text[], %(names)s::pg_catalog.text[]) AS l (schema, name)
  JOIN pg_catalog.pg_namespace n ON n.nspname = l.schema
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = l.name
  LEFT JOIN LATERAL (
    SELECT pg_catalog.max(v.option_value) FILTER (WHERE v.option_name = 'autovacuum_enabled')
             ::pg_catalog.bool AS enabled,
           pg_catalog.max(v.option_value) FILTER (WHERE v.option_name = 'autovacuum_vacuum_threshold')
             ::pg_catalog.float8 AS threshold,
           pg_catalog.max(v.option_value)
             FILTER (WHERE v.option_name = 'autovacuum_vacuum_scale_factor')::pg_catalog.float8
             AS scale
      FROM pg_catalog.pg_options_to_table(c.reloptions) AS v
  ) AS o ON true
  LEFT JOIN LATERAL (
    SELECT pg_catalog.sum(s.avg_width * (1 - s.null_frac)) + 28 AS width
      FROM pg_catalog.pg_stats s
     WHERE s.schemaname = l.schema AND s.tablename = l.name
  ) AS w ON true

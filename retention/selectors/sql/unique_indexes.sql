-- Parameter: table (oid). Its unique indexes and exclusion constraints.
SELECT i.relname::pg_catalog.text AS name,
       x.indisprimary AS primary,
       x.indimmediate AS immediate,
       -- Whether two rows are in each other's way can be asked with = on plain columns.
       m.amname = 'btree' AND x.indisunique AND x.indpred IS NULL AND x.indexprs IS NULL
         AND x.indisvalid AND x.indisready AND x.indislive AS plain,
       k.columns,
       k.operator_schemas,
       k.operators
  FROM pg_catalog.pg_index AS x
  JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
  JOIN pg_catalog.pg_am AS m ON m.oid = i.relam
 CROSS JOIN LATERAL (
         SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY n.place) AS columns,
                -- The index's own operator: another schema's = is not found by its name.
                pg_catalog.array_agg(s.nspname::pg_catalog.text ORDER BY n.place) AS operator_schemas,
                pg_catalog.array_agg(o.oprname::pg_catalog.text ORDER BY n.place) AS operators
           FROM pg_catalog.generate_series(1, x.indnkeyatts) AS n (place)
           LEFT JOIN pg_catalog.pg_attribute AS a
             ON a.attrelid = x.indrelid AND a.attnum = x.indkey[n.place - 1] AND a.attnum > 0
           LEFT JOIN pg_catalog.pg_opclass AS c ON c.oid = x.indclass[n.place - 1]
           LEFT JOIN pg_catalog.pg_amop AS f
             ON f.amopfamily = c.opcfamily AND f.amopstrategy = 3
            AND f.amoplefttype = c.opcintype AND f.amoprighttype = c.opcintype
           LEFT JOIN pg_catalog.pg_operator AS o ON o.oid = f.amopopr
           LEFT JOIN pg_catalog.pg_namespace AS s ON s.oid = o.oprnamespace
       ) AS k
 WHERE x.indrelid = %(table)s
   AND (x.indisunique OR x.indisexclusion)
 ORDER BY x.indisprimary DESC, i.relname

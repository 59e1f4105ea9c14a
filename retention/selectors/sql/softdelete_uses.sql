-- Parameters: oid (oid), columns (text[]), ours (oid[]: indexes that are ours), view (oid: the
-- view of active rows, or 0).
-- What else uses the columns, and would be lost with them or keep them from going.
SELECT DISTINCT CASE
         WHEN d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
         THEN (SELECT 'view ' || w.ev_class::pg_catalog.regclass::pg_catalog.text
                 FROM pg_catalog.pg_rewrite AS w WHERE w.oid = d.objid)
         ELSE pg_catalog.pg_describe_object(d.classid, d.objid, 0)
       END AS name
  FROM pg_catalog.pg_depend AS d
  JOIN pg_catalog.pg_attribute AS a
    ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
   AND a.attname = ANY (%(columns)s::pg_catalog.text[])
 WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
   AND d.refobjid = %(oid)s::pg_catalog.oid
   AND d.objid <> ALL (%(ours)s::pg_catalog.oid[])
   AND NOT (d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
            AND EXISTS (SELECT FROM pg_catalog.pg_class AS i
                         WHERE i.oid = d.objid AND i.relname ~ '^custody_[0-9]+_(active|whole)$'))
   AND NOT (d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass
            AND EXISTS (SELECT FROM pg_catalog.pg_trigger AS g
                         WHERE g.oid = d.objid AND pg_catalog.starts_with(g.tgname, 'custody_')))
   AND NOT (d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
            AND EXISTS (SELECT FROM pg_catalog.pg_policy AS p
                         WHERE p.oid = d.objid AND pg_catalog.starts_with(p.polname, 'custody_')))
   AND NOT (d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
            AND EXISTS (SELECT FROM pg_catalog.pg_rewrite AS w
                         WHERE w.oid = d.objid AND w.ev_class = %(view)s::pg_catalog.oid))
   AND d.deptype IN ('n', 'a')
   AND d.classid <> 'pg_catalog.pg_attrdef'::pg_catalog.regclass
 ORDER BY 1

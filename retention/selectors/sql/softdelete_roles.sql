-- Parameters: oid (oid). Roles with privileges on the table, its columns or its partitions, and
-- whether policies bind them.
WITH granted AS (
  SELECT DISTINCT a.grantee
    FROM (SELECT %(oid)s::pg_catalog.oid AS relid
          UNION SELECT relid FROM pg_catalog.pg_partition_tree(%(oid)s::pg_catalog.oid)) AS t
    JOIN pg_catalog.pg_class AS c ON c.oid = t.relid
   CROSS JOIN LATERAL (
           SELECT x.grantee FROM pg_catalog.aclexplode(c.relacl) AS x
           UNION
           SELECT x.grantee FROM pg_catalog.pg_attribute AS k
            CROSS JOIN LATERAL pg_catalog.aclexplode(k.attacl) AS x
            WHERE k.attrelid = c.oid AND k.attacl IS NOT NULL
         ) AS a
)
SELECT coalesce(r.rolname::pg_catalog.text, 'public') AS name,
       coalesce(r.rolsuper OR r.rolbypassrls, false) AS above,
       coalesce(pg_catalog.pg_has_role(r.oid, c.relowner, 'USAGE'), false) AS owns,
       coalesce(r.rolname = current_user OR pg_catalog.pg_has_role(current_user, r.oid, 'USAGE')
                AND NOT (SELECT s.rolsuper FROM pg_catalog.pg_roles AS s WHERE s.rolname = current_user),
                false) AS console
  FROM granted AS g
  JOIN pg_catalog.pg_class AS c ON c.oid = %(oid)s::pg_catalog.oid
  LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = g.grantee
 WHERE g.grantee = 0 OR r.rolname IS NOT NULL
 ORDER BY 1

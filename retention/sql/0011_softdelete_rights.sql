-- Who may do what: the functions of soft delete run with the console's rights, whoever calls them.

-- The caller.

-- Row-level security decides about rows of the table for the caller; with `others`, by policies that
-- are not ours.
CREATE FUNCTION custody.softdelete_bound(relation oid, others boolean DEFAULT false)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT c.relrowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls
       AND (c.relforcerowsecurity OR NOT pg_has_role(r.oid, c.relowner, 'USAGE'))
       AND (NOT others OR EXISTS (
           SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND NOT starts_with(p.polname::text, 'custody_')
              AND (p.polroles = '{0}' OR EXISTS (SELECT FROM unnest(p.polroles) AS m (role)
                                                 WHERE pg_has_role(r.oid, m.role, 'USAGE')))))
    FROM pg_class c, pg_roles r
    WHERE c.oid = relation AND r.rolname = custody.softdelete_caller()
);

-- The caller has locked this row FOR UPDATE, so he could see and change it. That a row is locked by him
-- says too little: a foreign key's check locks it too, FOR KEY SHARE, without asking a policy. So it is
-- locked once more, in a subtransaction: that changes nothing only where the lock is there already.
CREATE FUNCTION custody.softdelete_locked(relation oid, key jsonb)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    keyed record;
    query text;
    given jsonb := jsonb_build_array(key);
    before xid;
    after xid;
BEGIN
    SELECT * INTO keyed FROM custody.softdelete_keyed(relation, '$1', 't');
    query := format('SELECT t.xmax FROM %s t, %s WHERE %s', custody.audit_relation(relation), keyed.source, keyed.condition);
    EXECUTE query INTO before USING given;
    BEGIN
        EXECUTE query || ' FOR UPDATE OF t NOWAIT' USING given;
    EXCEPTION WHEN lock_not_available THEN
        RETURN false;
    END;
    EXECUTE query INTO after USING given;
    RETURN coalesce(before = after, false);
END
$function$;

-- Whoever may lock a row FOR UPDATE may delete it: no policy of the table says less of DELETE.
CREATE FUNCTION custody.softdelete_update_tells(relation oid)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN NOT EXISTS (
    SELECT FROM pg_policy p JOIN pg_roles r ON r.rolname = custody.softdelete_caller()
    WHERE p.polrelid = relation
      AND p.polcmd = CASE WHEN p.polpermissive THEN 'w' ELSE 'd' END::"char"
      AND (p.polroles = '{0}' OR EXISTS (SELECT FROM unnest(p.polroles) AS m (role) WHERE pg_has_role(r.oid, m.role, 'USAGE')))
      AND NOT EXISTS (
          SELECT FROM pg_policy q
          WHERE q.polrelid = relation AND q.polpermissive = p.polpermissive
            AND q.polcmd IN (CASE WHEN p.polpermissive THEN 'd' ELSE 'w' END::"char", '*')
            AND pg_get_expr(q.polqual, relation) IS NOT DISTINCT FROM pg_get_expr(p.polqual, relation)
            AND (q.polroles = '{0}' OR q.polroles @> p.polroles))
);

CREATE FUNCTION custody.softdelete_may(relation oid, privilege text, what text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF NOT has_table_privilege(custody.softdelete_caller(), relation, privilege) THEN
        RAISE EXCEPTION 'permission denied for table %', custody.audit_relation(relation)
            USING ERRCODE = 'insufficient_privilege', HINT = format('To %s takes %s on the table.', what, privilege);
    END IF;
END
$function$;

CREATE FUNCTION custody.softdelete_not_bound(relation oid)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF custody.softdelete_bound(relation, true) THEN
        RAISE EXCEPTION 'Row-level security of % binds %', custody.audit_relation(relation), custody.softdelete_caller()
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Whether a deleted record is this role''s own cannot be told: a role that its policies do not bind restores it, or somebody in the console.';
    END IF;
END
$function$;

-- The caller may read all rows of the table.
CREATE FUNCTION custody.softdelete_reads("table" text)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN has_table_privilege(custody.softdelete_caller(), "table"::regclass::oid, 'SELECT')
   AND NOT custody.softdelete_bound("table"::regclass::oid, true);

-- What refuses a deletion, or is in the way of a restore, as the caller may know it: ids of rows that he
-- cannot read, and who deleted them, are not for him.
CREATE FUNCTION custody.softdelete_told(entries jsonb)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT coalesce(jsonb_agg(e.v || (
               SELECT coalesce(jsonb_object_agg(h.name, CASE h.name WHEN 'records' THEN '[]'::jsonb ELSE 'null'::jsonb END), '{}')
               FROM (VALUES ('table', 'records'), ('table', 'other'), ('parent_table', 'deletion'),
                            ('parent_table', 'deleted_at'), ('parent_table', 'deleted_by')) AS h (whose, name)
               WHERE e.v ? h.name AND NOT custody.softdelete_reads(e.v ->> h.whose)) ORDER BY e.place), '[]')
    FROM jsonb_array_elements(entries) WITH ORDINALITY AS e (v, place)
$function$;

-- Whose code may run.

-- Triggers, checks and casts of a table run as whoever changes it. Enabling a table trusts its owner; of
-- a table that refers to it that says nothing: whoever was given REFERENCES could make one.
CREATE FUNCTION custody.softdelete_trusts(role oid)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN EXISTS (SELECT FROM pg_roles r WHERE r.oid = role AND (r.rolsuper OR r.rolname = current_user))
    OR EXISTS (SELECT FROM custody.retention_softdeletetable s JOIN pg_class c ON c.oid = s.table_oid::oid
               WHERE s.disabled_at IS NULL AND pg_has_role(role, c.relowner, 'MEMBER'));

-- A function, operator or type that would run if a table of somebody else's were read or changed; NULL
-- for none. What PostgreSQL brings itself is in no dependency.
CREATE FUNCTION custody.softdelete_strange(relation oid)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    WITH whole AS (
        SELECT t.id FROM (SELECT relation AS id UNION SELECT x.relid::oid FROM pg_partition_tree(relation) x) t
        WHERE NOT custody.softdelete_trusts((SELECT c.relowner FROM pg_class c WHERE c.oid = t.id))
    ), parts AS (
        SELECT 'pg_class'::regclass AS class, w.id FROM whole w
        UNION ALL SELECT 'pg_class'::regclass, i.indexrelid FROM pg_index i JOIN whole w ON w.id = i.indrelid
        UNION ALL SELECT 'pg_trigger'::regclass, g.oid FROM pg_trigger g JOIN whole w ON w.id = g.tgrelid WHERE g.tgenabled <> 'D'
        UNION ALL SELECT 'pg_constraint'::regclass, f.oid FROM pg_constraint f JOIN whole w ON w.id = f.conrelid
        UNION ALL SELECT 'pg_attrdef'::regclass, a.oid FROM pg_attrdef a JOIN whole w ON w.id = a.adrelid
        UNION ALL SELECT 'pg_rewrite'::regclass, r.oid FROM pg_rewrite r JOIN whole w ON w.id = r.ev_class
        UNION ALL SELECT 'pg_policy'::regclass, p.oid FROM pg_policy p JOIN whole w ON w.id = p.polrelid
    )
    SELECT pg_describe_object(d.refclassid, d.refobjid, 0)
    FROM parts p JOIN pg_depend d ON d.classid = p.class AND d.objid = p.id
    LEFT JOIN pg_proc f ON d.refclassid = 'pg_proc'::regclass AND f.oid = d.refobjid
    LEFT JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
    LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
    WHERE NOT custody.softdelete_trusts(coalesce(f.proowner, o.oprowner, t.typowner))
      AND coalesce(f.proowner, o.oprowner, t.typowner) IS NOT NULL
    LIMIT 1
$function$;

CREATE FUNCTION custody.softdelete_no_stranger(child oid, "constraint" text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    what text := custody.softdelete_strange(child);
BEGIN
    IF what IS NOT NULL THEN
        RAISE EXCEPTION '% refers to what is to be deleted (%), and would run % with the console''s rights',
            custody.audit_relation(child), "constraint", what
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format('%I owns no table with soft delete. Let a role own the table that does, or drop its foreign key.',
                                (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.oid = child));
    END IF;
END
$function$;

-- What stands around a table with soft delete: the view of its active rows, and the triggers and
-- policies that the registry asks for. Made and taken away as a whole, as often as one likes.

-- Whatever state the entry is in: shields are made before it is ready, and go before it ends.
CREATE FUNCTION custody.softdelete_entry(relation oid)
RETURNS custody.retention_softdeletetable
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT s FROM custody.retention_softdeletetable s
    WHERE s.table_oid = custody.softdelete_root(relation)::bigint AND s.disabled_at IS NULL
$function$;

-- The table and its partitions, those that are tables of this server.
CREATE FUNCTION custody.softdelete_tree(root oid)
RETURNS TABLE (relation oid, partitioned boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT c.oid, c.relkind = 'p'
    FROM (SELECT root AS relid UNION SELECT x.relid FROM pg_partition_tree(root) x) t
    JOIN pg_class c ON c.oid = t.relid AND c.relkind IN ('r', 'p')
$function$;

CREATE FUNCTION custody.softdelete_has_column(relation oid, name text)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = name AND a.attnum > 0 AND NOT a.attisdropped);

-- The view.

-- Ours, wherever it is now; NULL when there is none.
CREATE FUNCTION custody.softdelete_view(s custody.retention_softdeletetable)
RETURNS oid
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT v.oid FROM pg_class v
    WHERE v.relkind = 'v' AND (
        v.oid::bigint = (s.view_kept ->> 'oid')::bigint
        -- Brought back by a dump, it has another oid.
        OR s.view_kept ? 'oid' AND v.relname = s.view_name
           AND v.relnamespace = (SELECT c.relnamespace FROM pg_class c WHERE c.oid = s.table_oid::oid)
           AND NOT EXISTS (SELECT FROM pg_class k WHERE k.relkind = 'v' AND k.oid::bigint = (s.view_kept ->> 'oid')::bigint))
      AND EXISTS (SELECT FROM pg_rewrite r
                  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                                  AND d.refclassid = 'pg_class'::regclass
                  WHERE r.ev_class = v.oid AND d.refobjid = s.table_oid::oid)
    LIMIT 1
);

CREATE FUNCTION custody.softdelete_columns(relation oid)
RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN ARRAY(SELECT format('%s %s', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod)) FROM pg_attribute a
             WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum);

-- Who owns a view, or a table for the first time, who may use it, and what is said of it.
CREATE FUNCTION custody.softdelete_view_facts(relation oid)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT jsonb_build_object(
        'owner', pg_get_userbyid(c.relowner),
        'comment', CASE c.relkind WHEN 'v' THEN obj_description(c.oid, 'pg_class') END,
        'options', CASE WHEN c.relkind = 'v' THEN to_jsonb(c.reloptions) ELSE '["security_invoker=true"]' END,
        'grants', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('to', CASE WHEN g.grantee <> 0 THEN pg_get_userbyid(g.grantee) END,
                       'what', g.privilege_type, 'column', g.attname, 'option', g.is_grantable)), '[]')
            FROM (SELECT x.grantee, x.privilege_type, NULL::name AS attname, x.is_grantable FROM aclexplode(c.relacl) x
                  UNION ALL
                  SELECT x.grantee, x.privilege_type, a.attname, x.is_grantable
                  FROM pg_attribute a CROSS JOIN LATERAL aclexplode(a.attacl) x
                  WHERE a.attrelid = c.oid AND NOT a.attisdropped) g
            WHERE g.grantee <> c.relowner AND g.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')))
    FROM pg_class c WHERE c.oid = relation
);

-- Drops the view and remembers what was given to it. Refused by PostgreSQL where a user's own view
-- reads it.
CREATE FUNCTION custody.softdelete_view_drop(relation oid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    s custody.retention_softdeletetable := custody.softdelete_entry(relation);
    v oid := custody.softdelete_view(s);
BEGIN
    IF v IS NOT NULL THEN
        UPDATE custody.retention_softdeletetable x SET view_kept = custody.softdelete_view_facts(v) WHERE x.id = s.id;
        EXECUTE format('DROP VIEW %s', custody.audit_relation(v));
    END IF;
END
$function$;

-- Makes the view where it is missing, or shows other columns than the table has.
CREATE FUNCTION custody.softdelete_view_make(relation oid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    s custody.retention_softdeletetable := custody.softdelete_entry(relation);
    root oid := s.table_oid::oid;
    place oid := (SELECT c.relnamespace FROM pg_class c WHERE c.oid = s.table_oid::oid);
    name text := format('%s.%I', place::regnamespace, s.view_name);
    v oid := custody.softdelete_view(s);
    wanted text[] := custody.softdelete_columns(root);
    shown text[] := custody.softdelete_columns(v);
    facts jsonb;
    given record;
    definition text := format('SELECT %s FROM %s WHERE deleted_at IS NULL',
        (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
         WHERE a.attrelid = root AND a.attnum > 0 AND NOT a.attisdropped), custody.audit_relation(root));
BEGIN
    IF place IS NULL OR NOT custody.softdelete_has_column(root, 'deleted_at') THEN
        RETURN;
    END IF;
    IF v IS NOT NULL AND (SELECT c.relnamespace FROM pg_class c WHERE c.oid = v) <> place THEN
        EXECUTE format('ALTER VIEW %s SET SCHEMA %s', custody.audit_relation(v), place::regnamespace);
    END IF;
    IF v IS NOT NULL AND shown = wanted THEN
        RETURN;
    ELSIF v IS NOT NULL AND shown = wanted[1:cardinality(shown)] THEN
        -- New columns at the end: nobody who reads the view needs to know.
        EXECUTE format('CREATE OR REPLACE VIEW %s WITH (%s) AS %s', custody.audit_relation(v),
                       (SELECT array_to_string(c.reloptions, ', ') FROM pg_class c WHERE c.oid = v), definition);
        RETURN;
    ELSIF v IS NOT NULL THEN
        facts := custody.softdelete_view_facts(v);
        EXECUTE format('DROP VIEW %s', custody.audit_relation(v));
    ELSE
        facts := CASE WHEN s.view_kept ? 'owner' THEN s.view_kept ELSE custody.softdelete_view_facts(root) END;
    END IF;
    EXECUTE format('CREATE VIEW %s WITH (%s) AS %s', name,
                   (SELECT string_agg(o.v, ', ') FROM jsonb_array_elements_text(facts -> 'options') AS o (v)), definition);
    v := to_regclass(name)::oid;
    EXECUTE format('COMMENT ON VIEW %s IS %L', name,
                   coalesce(facts ->> 'comment', format('Rows of %s that are not deleted', custody.audit_relation(root))));
    FOR given IN
        SELECT g.* FROM jsonb_to_recordset(facts -> 'grants') AS g ("to" text, what text, "column" text, option boolean)
        WHERE (g."to" IS NULL OR to_regrole(quote_ident(g."to")) IS NOT NULL)
          AND (g."column" IS NULL OR custody.softdelete_has_column(v, g."column"))
    LOOP
        EXECUTE format('GRANT %s%s ON %s TO %s%s', given.what, ' (' || quote_ident(given."column") || ')', name,
                       coalesce(quote_ident(given."to"), 'PUBLIC'), CASE WHEN given.option THEN ' WITH GRANT OPTION' END);
    END LOOP;
    UPDATE custody.retention_softdeletetable x SET view_kept = facts || jsonb_build_object('oid', v::bigint) WHERE x.id = s.id;
    IF facts ->> 'owner' <> current_user AND to_regrole(quote_ident(facts ->> 'owner')) IS NOT NULL THEN
        BEGIN
            EXECUTE format('ALTER VIEW %s OWNER TO %I', name, facts ->> 'owner');
        EXCEPTION WHEN insufficient_privilege THEN
            -- It reads with the rights of whoever reads it, so whose it is changes nothing of that.
            NULL;
        END;
    END IF;
END
$function$;

-- Policies.

-- Hides deleted rows from roles. Where row-level security was off, everybody goes on as before: a
-- policy lets all rows through that ours do not hide.
CREATE FUNCTION custody.softdelete_policies_make(root oid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    s custody.retention_softdeletetable := custody.softdelete_entry(root);
    roles text := (SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname) FROM pg_roles r
                   WHERE r.rolname = ANY (s.hidden_from));
    part record;
    wanted record;
BEGIN
    IF s.id IS NULL OR NOT s.row_security OR roles IS NULL THEN
        PERFORM custody.softdelete_policies_drop(root);
        RETURN;
    END IF;
    FOR part IN SELECT t.relation, custody.audit_relation(t.relation) AS name, c.relrowsecurity
                FROM custody.softdelete_tree(root) t JOIN pg_class c ON c.oid = t.relation LOOP
        FOR wanted IN SELECT * FROM (VALUES
            ('custody_hidden_select', 'FOR SELECT TO %s USING (deleted_at IS NULL)'),
            ('custody_hidden_update', 'FOR UPDATE TO %s USING (deleted_at IS NULL) WITH CHECK (true)'),
            ('custody_hidden_delete', 'FOR DELETE TO %s USING (deleted_at IS NULL)')) w (name, form)
        LOOP
            IF NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = part.relation AND p.polname = wanted.name) THEN
                EXECUTE format('CREATE POLICY %I ON %s AS RESTRICTIVE ' || wanted.form, wanted.name, part.name, roles);
            ELSIF EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = part.relation AND p.polname = wanted.name
                          AND ARRAY(SELECT pg_get_userbyid(u)::text FROM unnest(p.polroles) u ORDER BY 1)
                              IS DISTINCT FROM ARRAY(SELECT u::text FROM unnest(s.hidden_from) u
                                                     WHERE to_regrole(quote_ident(u)) IS NOT NULL ORDER BY 1)) THEN
                EXECUTE format('ALTER POLICY %I ON %s TO %s', wanted.name, part.name, roles);
            END IF;
        END LOOP;
        IF NOT part.relrowsecurity THEN
            IF NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = part.relation AND p.polname = 'custody_all') THEN
                EXECUTE format('CREATE POLICY custody_all ON %s USING (true) WITH CHECK (true)', part.name);
            END IF;
            EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', part.name);
        END IF;
    END LOOP;
END
$function$;

CREATE FUNCTION custody.softdelete_policies_drop(root oid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    made record;
BEGIN
    FOR made IN SELECT p.polname, custody.audit_relation(t.relation) AS name
                FROM custody.softdelete_tree(root) t JOIN pg_policy p ON p.polrelid = t.relation
                WHERE p.polname IN ('custody_hidden_select', 'custody_hidden_update', 'custody_hidden_delete', 'custody_all') LOOP
        IF made.polname = 'custody_all' THEN
            EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', made.name);
        END IF;
        EXECUTE format('DROP POLICY %I ON %s', made.polname, made.name);
    END LOOP;
END
$function$;

-- What a change of a column would be refused for: the view, and guards that compare a column.
CREATE FUNCTION custody.softdelete_give_way(root oid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    made record;
BEGIN
    FOR made IN SELECT g.tgname, custody.audit_relation(g.tgrelid) AS name
                FROM custody.softdelete_tree(root) t JOIN pg_trigger g ON g.tgrelid = t.relation
                WHERE g.tgname LIKE 'custody\_softdelete\_update\_%' AND g.tgparentid = 0 LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', made.tgname, made.name);
    END LOOP;
    PERFORM custody.softdelete_view_drop(root);
END
$function$;

-- All of it.

-- Tables whose rows refer to rows of this one.
CREATE FUNCTION custody.softdelete_children(root oid)
RETURNS oid[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN ARRAY(SELECT DISTINCT custody.softdelete_root(f.conrelid) FROM pg_constraint f
             WHERE f.contype = 'f' AND f.conparentid = 0 AND custody.softdelete_root(f.confrelid) = root);

CREATE FUNCTION custody.softdelete_shield_make(relation oid)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    root oid := custody.softdelete_root(relation);
BEGIN
    IF (custody.softdelete_entry(root)).id IS NULL THEN
        RAISE EXCEPTION '% does not have soft delete', custody.audit_relation(root)
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM custody.softdelete_view_make(root);
    PERFORM custody.softdelete_policies_make(root);
    PERFORM custody.softdelete_triggers_make(t.relation)
       FROM unnest(root || custody.softdelete_children(root)) AS t (relation);
END
$function$;

CREATE FUNCTION custody.softdelete_shield_drop(relation oid)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    root oid := custody.softdelete_root(relation);
BEGIN
    PERFORM custody.softdelete_view_drop(root);
    PERFORM custody.softdelete_policies_drop(root);
    PERFORM custody.softdelete_triggers_make(t.relation, root)
       FROM unnest(root || custody.softdelete_children(root)) AS t (relation);
    UPDATE custody.retention_softdeletetable s SET view_kept = '{}' WHERE s.table_oid = root::bigint AND s.disabled_at IS NULL;
END
$function$;

-- For the application's own migrations, where no event trigger follows them.

CREATE FUNCTION custody.softdelete_owned("table" text)
RETURNS oid
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    root oid := custody.softdelete_root("table"::regclass::oid);
BEGIN
    IF NOT pg_has_role(custody.softdelete_caller(), (SELECT c.relowner FROM pg_class c WHERE c.oid = root), 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of table %', custody.audit_relation(root) USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN root;
END
$function$;

-- Also of a table without soft delete, that refers to one.
CREATE FUNCTION custody.softdelete_follow_change(root oid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF (custody.softdelete_table(root)).id IS NOT NULL THEN
        PERFORM custody.softdelete_shield_make(root);
    ELSE
        PERFORM custody.softdelete_triggers_make(root);
    END IF;
END
$function$;

CREATE FUNCTION custody.active_view_drop("table" text)
RETURNS void
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT custody.softdelete_give_way(custody.softdelete_owned("table"))
$function$;

COMMENT ON FUNCTION custody.active_view_drop(text) IS
    'Takes the view of active rows away, for a change of its table that it would block';

CREATE FUNCTION custody.active_view_make("table" text)
RETURNS void
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT custody.softdelete_follow_change(custody.softdelete_owned("table"))
$function$;

COMMENT ON FUNCTION custody.active_view_make(text) IS
    'Makes the view of active rows again, as its table is now, with what was granted on it';

-- The view of active rows follows its table: a command that it would block finds it gone, and it is
-- there again when the command ends. What a failing command dropped comes back with all it undoes.

-- The text of the command: as the client sent it, and within functions and DO blocks as PL/pgSQL ran it.
-- Only a function in SQL tells nothing: then it may be any table.
CREATE FUNCTION custody.softdelete_ddl_start()
RETURNS event_trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    stack text;
    said text;
    hidden boolean;
    s record;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    said := replace(coalesce(stack, '') || ' ' || coalesce(current_query(), ''), '""', '"');
    hidden := current_query() IS NULL OR stack LIKE '%SQL function "%';
    -- What else ALTER TABLE does, no view blocks; and while it goes on for an hour, readers go on too.
    IF NOT hidden AND tg_tag = 'ALTER TABLE' AND said !~* '\m(TYPE|EXPRESSION)\M'
       AND said !~* '\mDROP\M(?!\s+(CONSTRAINT|NOT\s+NULL|DEFAULT|IDENTITY)\M)' THEN
        RETURN;
    END IF;
    FOR s IN
        WITH RECURSIVE ours AS (
            SELECT x.table_oid::oid AS relation FROM custody.retention_softdeletetable x WHERE x.disabled_at IS NULL
            UNION SELECT custody.softdelete_root(g.tgrelid) FROM pg_trigger g
            WHERE g.tgname LIKE 'custody\_softdelete\_update\_%' AND g.tgparentid = 0
        ), above AS (
            SELECT o.relation AS ours, o.relation FROM ours o
            UNION SELECT a.ours, i.inhparent FROM above a JOIN pg_inherits i ON i.inhrelid = a.relation
        )
        SELECT DISTINCT a.ours AS relation
        FROM above a JOIN pg_class c ON c.oid = a.relation
        JOIN pg_namespace n ON n.oid = c.relnamespace
        -- Who may not change the table means another one, and would lock it for nothing.
        WHERE pg_has_role(session_user, c.relowner, 'USAGE')
          -- Its name: alone, or after its own schema's.
          AND (hidden OR said ~* format('(^|[^[:alnum:]_$."]|[^[:alnum:]_$.]"|\m%s"?\s*\.\s*"?)%s($|[^[:alnum:]_$])',
                                        regexp_replace(n.nspname, '([^[:alnum:]_])', '\\\1', 'g'),
                                        regexp_replace(c.relname, '([^[:alnum:]_])', '\\\1', 'g')))
    LOOP
        BEGIN
            PERFORM custody.softdelete_give_way(s.relation);
            PERFORM set_config('custody.gave_way', concat_ws(',', nullif(current_setting('custody.gave_way', true), ''), s.relation), true);
        EXCEPTION WHEN OTHERS THEN
            -- A user's own view reads it: PostgreSQL says so itself if that is in the way.
            NULL;
        END;
    END LOOP;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'Custody could not make way for the change: %', SQLERRM;
END
$function$;

-- A table that got another name or schema is known by it, also where rows go along with its parent's.
CREATE FUNCTION custody.softdelete_names()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    s record;
BEGIN
    FOR s IN
        SELECT x.id, x.schema_name, x.table_name, n.nspname, c.relname
        FROM custody.retention_softdeletetable x
        JOIN pg_class c ON c.oid = x.table_oid::oid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE x.disabled_at IS NULL AND (x.schema_name, x.table_name) IS DISTINCT FROM (n.nspname::text, c.relname::text)
    LOOP
        UPDATE custody.retention_softdeletetable x SET schema_name = s.nspname, table_name = s.relname WHERE x.id = s.id;
        UPDATE custody.retention_softdeletetable x
           SET along = (SELECT jsonb_agg(CASE WHEN a.v = jsonb_build_array(s.schema_name, s.table_name)
                                              THEN jsonb_build_array(s.nspname, s.relname) ELSE a.v END ORDER BY a.place)
                        FROM jsonb_array_elements(x.along) WITH ORDINALITY AS a (v, place))
         WHERE x.disabled_at IS NULL AND x.along @> jsonb_build_array(jsonb_build_array(s.schema_name, s.table_name));
    END LOOP;
END
$function$;

CREATE FUNCTION custody.softdelete_ddl_end()
RETURNS event_trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    touched oid[] := ARRAY(
        SELECT DISTINCT custody.softdelete_root(d.objid) FROM pg_event_trigger_ddl_commands() d
        WHERE d.classid = 'pg_class'::regclass AND d.objid IS NOT NULL
        UNION SELECT g.v::oid FROM regexp_split_to_table(current_setting('custody.gave_way', true), ',') AS g (v)
        WHERE g.v ~ '^\d{1,10}$');
    s record;
BEGIN
    PERFORM set_config('custody.gave_way', '', true), custody.softdelete_names();
    FOR s IN
        SELECT x.table_oid::oid AS relation, x.view_name, c.oid = ANY (touched) AS itself
        FROM custody.retention_softdeletetable x JOIN pg_class c ON c.oid = x.table_oid::oid
        WHERE x.disabled_at IS NULL AND x.ready_at IS NOT NULL
          AND (c.oid = ANY (touched) OR custody.softdelete_view(x) IS NULL)
    LOOP
        BEGIN
            IF s.itself THEN
                PERFORM custody.softdelete_shield_make(s.relation);
            ELSE
                PERFORM custody.softdelete_view_make(s.relation);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'Custody could not make % again (%): manage.py softdelete_enable %', quote_ident(s.view_name),
                SQLERRM, custody.audit_relation(s.relation);
        END;
    END LOOP;
    -- New foreign keys of tables that have no soft delete themselves.
    FOR s IN
        SELECT t.relation FROM unnest(touched) AS t (relation)
        JOIN pg_class c ON c.oid = t.relation AND c.relkind IN ('r', 'p')
        WHERE (custody.softdelete_entry(t.relation)).id IS NULL
          AND (EXISTS (SELECT FROM custody.softdelete_edges_up(ARRAY[t.relation]))
               OR EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.relation AND g.tgname LIKE 'custody\_softdelete\_%'))
    LOOP
        BEGIN
            PERFORM custody.softdelete_triggers_make(s.relation);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'Rows of % can be added under deleted ones, until the console may guard it: %',
                custody.audit_relation(s.relation), SQLERRM;
        END;
    END LOOP;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'Custody could not follow the change: %', SQLERRM;
END
$function$;

-- Whoever may call these by hand could mark rows that are not his, or open what hides them.
DO $block$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT p.oid::regprocedure AS signature FROM pg_proc p
        WHERE p.pronamespace = 'custody'::regnamespace AND p.proname LIKE 'softdelete\_%'
          AND p.proname NOT IN ('softdelete_asked', 'softdelete_condition', 'softdelete_hidden', 'softdelete_in_bin',
                                'softdelete_ask_purge')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', made.signature);
    END LOOP;
END
$block$;

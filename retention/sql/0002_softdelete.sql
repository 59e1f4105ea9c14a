-- Soft delete: rows are marked as deleted, with all that hangs on them, and come back together.
--
-- Invariants:
-- - The mark in the rows is the set: a row belongs to the deletion that its deletion_id names, and to
--   no other. What goes back in part is split off into a deletion of its own first.
-- - No active row refers to a deleted one: whoever marks a row has locked it FOR UPDATE, which waits
--   for every insert of a row that refers to it and keeps later ones waiting.
-- - Nothing is half done: a deletion, and a restore, is one transaction of a few statements a table.

-- Who calls, in words of the database: within SECURITY DEFINER too.
CREATE FUNCTION custody.softdelete_caller()
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN coalesce(nullif(current_setting('role', true), 'none'), session_user::text);

-- Who deletes or restores: as the audit log says it. A claim of the application's begins with app:.
CREATE FUNCTION custody.softdelete_actor()
RETURNS text
LANGUAGE plpgsql STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    said jsonb := custody.audit_context_read(coalesce(nullif(current_setting('custody.context', true), ''), '{}'));
    claimed boolean := session_user <> current_user AND (
        NOT pg_has_role(session_user, current_user, 'MEMBER')
        OR (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = session_user)
    );
    actor text := left(regexp_replace(said ->> 'actor', '[[:cntrl:]]+', ' ', 'g'), 300);
    user_id text := left(regexp_replace(said ->> 'user_id', '[[:cntrl:]]+', ' ', 'g'), 296);
BEGIN
    IF coalesce(trim(actor), '') = '' THEN
        RETURN coalesce('app:' || nullif(user_id, ''), 'db:' || custody.softdelete_caller());
    ELSIF claimed AND NOT starts_with(actor, 'app:') THEN
        RETURN left('app:' || actor, 300);
    END IF;
    RETURN actor;
END
$function$;

-- The reason, if the context of the transaction has none yet: the audit log is told it too.
CREATE FUNCTION custody.softdelete_say(reason text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    said jsonb := custody.audit_context_read(coalesce(nullif(current_setting('custody.context', true), ''), '{}'));
BEGIN
    IF coalesce(trim(reason), '') = '' THEN
        RETURN left(coalesce(said ->> 'reason', ''), 2000);
    END IF;
    IF coalesce(trim(said ->> 'reason'), '') = '' THEN
        PERFORM set_config('custody.context', (said || jsonb_build_object('reason', left(reason, 2000)))::text, true),
                set_config('custody.context_id', '', true);
    END IF;
    RETURN left(reason, 2000);
END
$function$;

-- An older snapshot would not see a row that somebody has added below in the meantime.
CREATE FUNCTION custody.softdelete_needs_fresh_snapshots()
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'Records are deleted and restored in a transaction that is READ COMMITTED, not %',
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'invalid_transaction_state', HINT = 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED';
    END IF;
END
$function$;

-- The purge's own DELETE is no deletion: in this transaction none is captured. Any session can write
-- a setting, so it bears a mark.
CREATE FUNCTION custody.softdelete_pass()
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT set_config('custody.softdelete_pass', custody.audit_mark('softdelete_pass'), true);
    SELECT;
$function$;

CREATE FUNCTION custody.softdelete_passes()
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN CASE WHEN coalesce(current_setting('custody.softdelete_pass', true), '') = '' THEN false
            ELSE current_setting('custody.softdelete_pass', true) = custody.audit_mark('softdelete_pass') END;

-- Tables.

CREATE FUNCTION custody.softdelete_root(relation oid)
RETURNS oid
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN coalesce(pg_partition_root(relation)::oid, relation);

-- The table's entry; NULL where soft delete is not enabled, or not all there yet.
CREATE FUNCTION custody.softdelete_table(relation oid)
RETURNS custody.retention_softdeletetable
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT s FROM custody.retention_softdeletetable s
    WHERE s.table_oid = custody.softdelete_root(relation)::bigint AND s.disabled_at IS NULL AND s.ready_at IS NOT NULL
$function$;

-- The columns that name a row: the primary key's, else those of the first unique key without NULL.
CREATE FUNCTION custody.softdelete_key(relation oid)
RETURNS smallint[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RETURN (
        SELECT (i.indkey::int2[])[0:i.indnkeyatts - 1]
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = relation AND i.indisunique AND i.indisvalid AND i.indimmediate
          AND i.indpred IS NULL AND i.indexprs IS NULL
          AND NOT EXISTS (SELECT FROM pg_attribute a
                          WHERE a.attrelid = relation AND NOT a.attnotnull
                            AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
        ORDER BY i.indisprimary DESC, c.relname::text COLLATE "C"
        LIMIT 1
    );
END
$function$;

-- A value as record ids have it: the same whatever the session's settings are.
CREATE FUNCTION custody.softdelete_text(expression text, type oid)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    base oid := type;
BEGIN
    WHILE EXISTS (SELECT FROM pg_type t WHERE t.oid = base AND t.typtype = 'd') LOOP
        SELECT t.typbasetype INTO base FROM pg_type t WHERE t.oid = base;
    END LOOP;
    RETURN CASE base
        WHEN 'numeric'::regtype THEN format('trim_scale(%s)::text', expression)
        WHEN 'bytea'::regtype THEN format('''\x'' || encode(%s, ''hex'')', expression)
        WHEN 'date'::regtype THEN format('to_json(%s) #>> ''{}''', expression)
        WHEN 'timestamp'::regtype THEN format('replace(to_json(%s) #>> ''{}'', ''T'', '' '')', expression)
        WHEN 'timestamptz'::regtype THEN
            format('replace(to_json(timezone(''UTC'', %s)) #>> ''{}'', ''T'', '' '') || ''+00''', expression)
        ELSE format('%s::text', expression)
    END;
END
$function$;

-- The record id of a row of an alias, as an expression; NULL for a table without a key.
CREATE FUNCTION custody.softdelete_record_id(relation oid, alias text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT CASE WHEN count(*) = 1 THEN '(' || min(written) || ')'
                WHEN count(*) > 1 THEN 'to_json(ARRAY[' || string_agg(written, ', ' ORDER BY place) || '])::text' END
    FROM (SELECT k.place, custody.softdelete_text(format('%I.%I', alias, a.attname), a.atttypid) AS written
          FROM unnest(custody.softdelete_key(relation)) WITH ORDINALITY AS k (attnum, place)
          JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = k.attnum) x
);

-- A key as somebody wrote it, `4711`, `a,b` or JSON, as a JSON array of its values. `columns` is how many
-- the key has, for who knows it already.
CREATE FUNCTION custody.softdelete_key_values(relation oid, key text, columns integer DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    wanted integer := coalesce(columns, cardinality(custody.softdelete_key(relation)));
    found jsonb;
BEGIN
    IF starts_with(ltrim(key), '[') THEN
        BEGIN
            found := key::jsonb;
        EXCEPTION WHEN OTHERS THEN
            found := NULL;
        END;
        IF jsonb_array_length(found) = wanted THEN
            RETURN (SELECT jsonb_agg(v ORDER BY place) FROM jsonb_array_elements_text(found) WITH ORDINALITY AS e (v, place));
        END IF;
    END IF;
    IF wanted = 1 THEN
        RETURN jsonb_build_array(key);
    END IF;
    found := to_jsonb(string_to_array(key, ','));
    IF wanted IS NULL OR jsonb_array_length(found) IS DISTINCT FROM wanted THEN
        RAISE EXCEPTION '% is no key of %', quote_literal(key), custody.audit_relation(relation)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'A key of several columns is a,b in the order of the key, or a JSON array.';
    END IF;
    RETURN found;
END
$function$;

-- Such a text as a value of a type again. PostgreSQL reads no zone after infinity.
CREATE FUNCTION custody.softdelete_typed(expression text, type oid)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN format(CASE custody.audit_base_type(type)::oid WHEN 'timestamptz'::regtype
                   THEN 'regexp_replace(%s, ''(infinity)\+00$'', ''\1'')::%s' ELSE '(%s)::%s' END,
              expression, custody.audit_type_name(type));

-- Keys given as a JSON array of arrays of texts: a relation `k`, to be joined to an alias.
CREATE FUNCTION custody.softdelete_keyed(relation oid, keys text, alias text)
RETURNS TABLE (source text, condition text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    -- By the limit the planner knows how many there are.
    SELECT format('(SELECT DISTINCT %1$s FROM (SELECT a.v FROM jsonb_array_elements(%2$s) AS a (v)'
                  ' LIMIT jsonb_array_length(%2$s)) e) k',
                  string_agg(format('%s AS %I', custody.softdelete_typed(format('e.v ->> %s', x.place - 1), x.type), x.name),
                             ', ' ORDER BY x.place), keys),
           string_agg(custody.audit_same(alias, 'k', x.name, x.type), ' AND ' ORDER BY x.place)
    FROM (SELECT k.place, a.attname::text AS name, a.atttypid AS type
          FROM unnest(custody.softdelete_key(relation)) WITH ORDINALITY AS k (attnum, place)
          JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = k.attnum) x
$function$;

-- Foreign keys.

-- What a deletion of the row referred to means for the rows that refer: they go along, are set to NULL
-- or a default ('severed'), or refuse it. `rule` is that of ON DELETE, `indexed`: whether the columns that
-- refer are, `referred`: whether rows of the child are referred to in turn.
CREATE TYPE custody.softdelete_edge AS (
    constraint_oid oid, name text, child oid, child_root oid, parent oid, parent_root oid,
    rule "char", meaning text, enabled boolean, indexed boolean, referred boolean
);

-- Of these foreign keys. Every deletion asks, so here a session keeps its plans, in PL/pgSQL.
CREATE FUNCTION custody.softdelete_edges_of("constraints" oid[])
RETURNS SETOF custody.softdelete_edge
LANGUAGE plpgsql STABLE
ROWS 10
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $function$
BEGIN
    RETURN QUERY
    SELECT f.oid, f.conname::text, f.conrelid, c.oid, f.confrelid, r.parent_root, f.confdeltype,
           CASE
               WHEN f.confdeltype = 'c' OR EXISTS (
                   SELECT FROM custody.retention_softdeletetable s
                   CROSS JOIN LATERAL jsonb_array_elements(s.along) AS a (v)
                   WHERE s.table_oid = r.parent_root::bigint AND s.disabled_at IS NULL AND s.ready_at IS NOT NULL
                     AND a.v ->> 0 = n.nspname AND a.v ->> 1 = c.relname) THEN 'along'
               WHEN f.confdeltype IN ('n', 'd') THEN 'severed'
               ELSE 'refused'
           END,
           EXISTS (SELECT FROM custody.retention_softdeletetable s
                   WHERE s.table_oid = c.oid::bigint AND s.disabled_at IS NULL AND s.ready_at IS NOT NULL),
           EXISTS (SELECT FROM pg_index i
                   JOIN pg_class x ON x.oid = i.indexrelid
                   JOIN pg_am m ON m.oid = x.relam AND m.amname IN ('btree', 'hash')
                   WHERE i.indrelid = f.conrelid AND i.indisvalid AND i.indpred IS NULL
                     AND i.indnkeyatts >= cardinality(f.conkey)
                     AND (i.indkey::int2[])[0:cardinality(f.conkey) - 1] @> f.conkey),
           EXISTS (SELECT FROM pg_depend d JOIN pg_constraint g ON g.oid = d.objid AND g.contype = 'f' AND g.confrelid = d.refobjid
                   WHERE d.classid = 'pg_constraint'::regclass AND d.refclassid = 'pg_class'::regclass
                     AND d.refobjid IN (f.conrelid, c.oid))
    FROM pg_constraint f
    CROSS JOIN LATERAL (SELECT coalesce(pg_partition_root(f.conrelid)::oid, f.conrelid) AS child_root,
                               coalesce(pg_partition_root(f.confrelid)::oid, f.confrelid) AS parent_root) r
    JOIN pg_class c ON c.oid = r.child_root
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE f.oid = ANY ("constraints")
    ORDER BY n.nspname, c.relname, f.conname;
END
$function$;

-- These tables, and what is a partition of one.
CREATE FUNCTION custody.softdelete_with_partitions(tables oid[])
RETURNS oid[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RETURN ARRAY(SELECT unnest(tables)
                 UNION SELECT t.relid::oid FROM unnest(tables) r CROSS JOIN LATERAL pg_partition_tree(r) t);
END
$function$;

-- Of those that point at rows of these tables, or of one of their partitions. No index of pg_constraint
-- leads to them: one of pg_depend does.
CREATE FUNCTION custody.softdelete_edges(parents oid[])
RETURNS SETOF custody.softdelete_edge
LANGUAGE plpgsql STABLE
ROWS 10
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
    tables oid[] := custody.softdelete_with_partitions(parents);
BEGIN
    RETURN QUERY
    SELECT x.* FROM custody.softdelete_edges_of(ARRAY(
        SELECT f.oid FROM pg_depend d
        -- With a parent it is PostgreSQL's own copy for a partition.
        JOIN pg_constraint f ON f.oid = d.objid AND f.contype = 'f' AND f.confrelid = d.refobjid AND f.conparentid = 0
        WHERE d.classid = 'pg_constraint'::regclass AND d.refclassid = 'pg_class'::regclass
          AND d.refobjid = ANY (tables))) x;
END
$function$;

-- Of those whose own rows are among these tables, and what they point at has soft delete.
CREATE FUNCTION custody.softdelete_edges_up(children oid[])
RETURNS SETOF custody.softdelete_edge
LANGUAGE plpgsql STABLE
ROWS 10
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
    tables oid[] := custody.softdelete_with_partitions(children);
BEGIN
    RETURN QUERY
    SELECT x.* FROM custody.softdelete_edges_of(ARRAY(
        SELECT f.oid FROM pg_constraint f
        WHERE f.contype = 'f' AND f.conrelid = ANY (tables) AND f.conparentid = 0
          AND (custody.softdelete_table(f.confrelid)).id IS NOT NULL)) x;
END
$function$;

-- That a row refers to another, in the foreign key's own terms.
CREATE FUNCTION custody.softdelete_refers("constraint" oid, child text, parent text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT string_agg(format('%I.%I OPERATOR(%I.%s) %I.%I', parent, p.attname, n.nspname, o.oprname, child, c.attname),
                      ' AND ' ORDER BY k.place)
    FROM pg_constraint f
    CROSS JOIN LATERAL unnest(f.conkey, f.confkey, f.conpfeqop) WITH ORDINALITY AS k (own, other, operator, place)
    JOIN pg_attribute c ON c.attrelid = f.conrelid AND c.attnum = k.own
    JOIN pg_attribute p ON p.attrelid = f.confrelid AND p.attnum = k.other
    JOIN pg_operator o ON o.oid = k.operator
    JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE f.oid = "constraint"
);

-- Counting.

CREATE FUNCTION custody.softdelete_count(deletion bigint, relation oid, level integer, rows bigint)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $function$
    INSERT INTO custody.retention_deletiontable AS t (deletion_id, schema_name, table_name, table_oid, level, deleted)
    SELECT softdelete_count.deletion, n.nspname, c.relname, c.oid::bigint, softdelete_count.level, rows
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = relation AND rows > 0
    ON CONFLICT (deletion_id, table_oid) DO UPDATE SET deleted = t.deleted + excluded.deleted;
$function$;

-- The planner knows nothing of marks that were made a moment ago: it must not read a whole table once
-- for each of them. Until the end of the function that calls.
CREATE FUNCTION custody.softdelete_nest(nest boolean)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT set_config('enable_nestloop', CASE WHEN nest THEN 'on' ELSE 'off' END, true);
    SELECT;
$function$;

-- The application's own triggers find what they name without a schema: beside their table, or in
-- public. Until the end of the function that calls: this one has no path of its own to set back.
CREATE FUNCTION custody.softdelete_path(relation pg_catalog.oid)
RETURNS pg_catalog.void
LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM pg_catalog.set_config('search_path', pg_catalog.format('pg_catalog, %s, public, pg_temp',
        (SELECT c.relnamespace::pg_catalog.regnamespace FROM pg_catalog.pg_class c
         WHERE c.oid OPERATOR(pg_catalog.=) relation)), true);
END
$function$;

-- A trigger of the application's may keep rows of the table as they are.
CREATE FUNCTION custody.softdelete_keeps(relation oid)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN EXISTS (
    SELECT FROM pg_trigger t
    WHERE (t.tgrelid = relation OR t.tgrelid IN (SELECT x.relid FROM pg_partition_tree(relation) x))
      AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND NOT starts_with(t.tgname::text, 'custody_softdelete_')
      -- Before an UPDATE, of each row.
      AND t.tgtype & 19 = 19
);

-- What goes back in part is given to a deletion of its own first, which is then restored whole.

-- That a severed reference `s` of a row `c` was to a row `p`, as a condition: what was set is known from
-- `s`, the key's other columns stand in `c` still.
CREATE FUNCTION custody.softdelete_referred("constraint" oid)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT string_agg(format('p.%I OPERATOR(%I.%s) %s', r.attname, n.nspname, o.oprname,
               CASE WHEN k.own = ANY (coalesce(f.confdelsetcols, f.conkey))
                    THEN custody.softdelete_typed(format('s.was ->> %L', a.attname), a.atttypid)
                    ELSE format('c.%I', a.attname) END), ' AND ' ORDER BY k.place)
    FROM pg_constraint f
    CROSS JOIN LATERAL unnest(f.conkey, f.confkey, f.conpfeqop) WITH ORDINALITY AS k (own, other, operator, place)
    JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.own
    JOIN pg_attribute r ON r.attrelid = f.confrelid AND r.attnum = k.other
    JOIN pg_operator o ON o.oid = k.operator
    JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE f.oid = "constraint"
);

-- That a severed reference `s` is one of the row `c`, as a condition.
CREATE FUNCTION custody.softdelete_severed_row(relation oid)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT string_agg(format('c.%I%s %s %s', a.attname,
               CASE WHEN t.typtype = 'd' THEN '::' || custody.audit_type_name(custody.audit_base_type(t.oid)) ELSE '' END,
               custody.audit_equality(a.atttypid),
               custody.softdelete_typed(CASE WHEN cardinality(custody.softdelete_key(relation)) = 1 THEN 's.record_id'
                                             ELSE format('s.record_id::jsonb ->> %s', k.place - 1) END,
                                        custody.audit_base_type(t.oid))),
               ' AND ' ORDER BY k.place)
    FROM unnest(custody.softdelete_key(relation)) WITH ORDINALITY AS k (attnum, place)
    JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = k.attnum
    JOIN pg_type t ON t.oid = a.atttypid
);

-- What a deletion severed and has not put back, by foreign key.
CREATE FUNCTION custody.softdelete_severed(deletion bigint)
RETURNS TABLE (constraint_oid oid, name text, child oid, child_root oid, parent oid, parent_root oid)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT f.oid, f.conname::text, f.conrelid, custody.softdelete_root(f.conrelid), f.confrelid,
           custody.softdelete_root(f.confrelid)
    FROM (SELECT DISTINCT s.table_oid, s.constraint_name FROM custody.retention_severedreference s
          WHERE s.deletion_id = deletion AND s.outcome = '') s
    JOIN pg_constraint f ON f.contype = 'f' AND f.conname = s.constraint_name AND f.conparentid = 0
                        AND custody.softdelete_root(f.conrelid)::bigint = s.table_oid
    ORDER BY f.conname
$function$;

-- Gives rows of one deletion to another, with what was severed because of them, and counts them there.
-- `condition` is about alias `t`; `given` is its parameter $3. `reached`: an index leads from what the
-- condition names to the rows. Then that of deletion_id is not used: the planner, which takes both sides for
-- a row or two, would read one of them once for each row of the other.
CREATE FUNCTION custody.softdelete_move(relation oid, origin bigint, target bigint, condition text, reached boolean,
                                        given jsonb DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    e record;
    number bigint;
BEGIN
    PERFORM custody.softdelete_path(relation);
    EXECUTE format('UPDATE %s t SET deletion_id = $2 WHERE t.deletion_id%s = $1 AND (%s)',
                   custody.audit_relation(relation), CASE WHEN reached THEN ' + 0' ELSE '' END, condition)
      USING origin, target, given;
    GET DIAGNOSTICS number = ROW_COUNT;
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
    IF number > 0 THEN
        PERFORM custody.softdelete_count(target, relation, (
            SELECT t.level FROM custody.retention_deletiontable t
            WHERE t.deletion_id = origin AND t.table_oid = relation::bigint), number);
        UPDATE custody.retention_deletiontable t SET moved = t.moved + number
         WHERE t.deletion_id = origin AND t.table_oid = relation::bigint;
        FOR e IN SELECT x.* FROM custody.softdelete_severed(origin) x
                 WHERE x.parent_root = relation AND custody.softdelete_strange(x.child_root) IS NULL LOOP
            -- Each reference asks by keys: an index on deletion_id would be read once for each of them.
            EXECUTE format(
                'UPDATE custody.retention_severedreference s SET deletion_id = $2'
                ' WHERE s.deletion_id = $1 AND s.outcome = '''' AND s.table_oid = %s AND s.constraint_name = %L'
                ' AND (SELECT true FROM %s c CROSS JOIN LATERAL ('
                'SELECT FROM %s p WHERE %s AND p.deletion_id + 0 = $2 LIMIT 1) p WHERE %s LIMIT 1)',
                e.child_root::bigint, e.name, custody.audit_relation(e.child), custody.audit_relation(e.parent),
                custody.softdelete_referred(e.constraint_oid), custody.softdelete_severed_row(e.child))
              USING origin, target;
        END LOOP;
    END IF;
    RETURN number;
END
$function$;

-- A deletion for a part of another: as that, with the record it begins with.
CREATE FUNCTION custody.softdelete_split(origin bigint)
RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $function$
    INSERT INTO custody.retention_deletion
           (database, schema_name, table_name, table_oid, record_id, roots, deleted_at, actor, reason, source, xid,
            purge_after, split_from_id)
    SELECT d.database, d.schema_name, d.table_name, d.table_oid, '', 0, d.deleted_at, d.actor, d.reason, 'split',
           pg_current_xact_id()::text::bigint, d.purge_after, d.id
    FROM custody.retention_deletion d WHERE d.id = origin
    RETURNING id
$function$;

-- Which record a deletion that was split begins with: those of its tables nearest to the first one.
CREATE FUNCTION custody.softdelete_begins(deletion bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    top record;
    number bigint;
    first text;
BEGIN
    SELECT t.* INTO top FROM custody.retention_deletiontable t
    WHERE t.deletion_id = deletion AND t.deleted > t.moved
    ORDER BY t.level, t.schema_name, t.table_name LIMIT 1;
    IF FOUND THEN
        EXECUTE format('SELECT count(*), min(%s) FROM %s t WHERE t.deletion_id = $1',
                       custody.softdelete_record_id(top.table_oid::oid, 't'), custody.audit_relation(top.table_oid::oid))
           INTO number, first USING deletion;
        UPDATE custody.retention_deletion d
           SET schema_name = top.schema_name, table_name = top.table_name, table_oid = top.table_oid,
               roots = number, record_id = CASE WHEN number = 1 THEN first ELSE '' END
         WHERE d.id = deletion;
    END IF;
END
$function$;

-- The tables of which a deletion has rows now.
CREATE FUNCTION custody.softdelete_tables(deletion bigint)
RETURNS oid[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN ARRAY(SELECT t.table_oid::oid FROM custody.retention_deletiontable t
             WHERE t.deletion_id = deletion AND t.deleted - t.restored - t.moved - t.purged > 0
             ORDER BY t.level, t.table_oid);

-- The deletion, locked: nobody else restores or purges it. Refused in words when it is over.
CREATE FUNCTION custody.softdelete_lock(deletion bigint)
RETURNS custody.retention_deletion
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    d custody.retention_deletion;
BEGIN
    SELECT * INTO d FROM custody.retention_deletion x WHERE x.id = deletion FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no deletion %', deletion USING ERRCODE = 'no_data_found';
    ELSIF d.state <> 'deleted' THEN
        RAISE EXCEPTION 'Deletion % %', deletion, CASE d.state
                WHEN 'restored' THEN format('was restored by %s at %s', d.restored_by, date_trunc('second', d.restored_at))
                WHEN 'refused' THEN 'was refused: nothing was deleted'
                WHEN 'purging' THEN 'is being destroyed'
                ELSE 'was destroyed' END
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN d;
END
$function$;

-- Adds to a deletion's rows those below them that another one has: what hangs on a record goes with
-- it. `hard`: also what refers to them without going along, since no active row may.
CREATE FUNCTION custody.softdelete_move_below(origin bigint, target bigint, hard boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    e record;
    moved bigint;
BEGIN
    LOOP
        moved := 0;
        FOR e IN SELECT x.* FROM custody.softdelete_edges(custody.softdelete_tables(target)) x
                 WHERE x.enabled AND (x.meaning = 'along' OR hard AND x.meaning = 'refused')
                   AND x.child_root = ANY (custody.softdelete_tables(origin)) LOOP
            PERFORM custody.softdelete_nest(e.indexed);
            moved := moved + custody.softdelete_move(e.child_root, origin, target, format(
                'EXISTS (SELECT FROM %s p WHERE p.deletion_id = $2 AND %s)',
                custody.audit_relation(e.parent), custody.softdelete_refers(e.constraint_oid, 't', 'p')), e.indexed);
        END LOOP;
        EXIT WHEN moved = 0;
    END LOOP;
END
$function$;

-- Rows given as JSON, [{"table", "record"}], of one table at a time.
CREATE FUNCTION custody.softdelete_given(given jsonb)
RETURNS TABLE (relation oid, keys jsonb, rows bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT k.relation, jsonb_agg(DISTINCT k.values), count(DISTINCT k.values)
    FROM (SELECT x.relation, custody.softdelete_key_values(x.relation, g.v ->> 'record', x.columns) AS values
          FROM (SELECT t.name, custody.softdelete_root(t.name::regclass::oid) AS relation,
                       cardinality(custody.softdelete_key(custody.softdelete_root(t.name::regclass::oid))) AS columns
                FROM (SELECT DISTINCT g.v ->> 'table' AS name FROM jsonb_array_elements(given) AS g (v)) t OFFSET 0) x
          JOIN jsonb_array_elements(given) AS g (v) ON g.v ->> 'table' = x.name) k
    GROUP BY k.relation
$function$;

CREATE FUNCTION custody.softdelete_move_given(given jsonb, origin bigint, target bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    g record;
    keyed record;
BEGIN
    FOR g IN SELECT * FROM custody.softdelete_given(given) LOOP
        IF custody.softdelete_key(g.relation) IS NULL OR (custody.softdelete_table(g.relation)).id IS NULL THEN
            RAISE EXCEPTION '% does not have soft delete', custody.audit_relation(g.relation)
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        SELECT * INTO keyed FROM custody.softdelete_keyed(g.relation, '$3', 't');
        IF custody.softdelete_move(g.relation, origin, target,
               format('EXISTS (SELECT FROM %s WHERE %s)', keyed.source, keyed.condition), true, g.keys) < g.rows THEN
            RAISE EXCEPTION 'Deletion % has no such record of %', origin, custody.audit_relation(g.relation)
                USING ERRCODE = 'no_data_found';
        END IF;
    END LOOP;
END
$function$;

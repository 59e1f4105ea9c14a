-- Restoring: what is in the way is found first, and is the answer.

-- What rows of a deletion refer to stays active until the commit: whoever deletes it waits.
CREATE FUNCTION custody.softdelete_hold_parents(deletion bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    e record;
BEGIN
    FOR e IN SELECT x.* FROM custody.softdelete_edges_up(custody.softdelete_tables(deletion)) x LOOP
        PERFORM custody.softdelete_nest(true);
        EXECUTE format('SELECT count(*) FROM (SELECT FROM %s c JOIN %s p ON %s WHERE c.deletion_id = $1'
                       ' AND p.deletion_id IS DISTINCT FROM $1 FOR KEY SHARE OF p) x',
                       custody.audit_relation(e.child), custody.audit_relation(e.parent),
                       custody.softdelete_refers(e.constraint_oid, 'c', 'p')) USING deletion;
    END LOOP;
END
$function$;

-- Deleted rows that rows of a deletion refer to come along: those of `origin`, and with `parents` of
-- any other deletion. Returns which deletions gave rows, and the conflicts that remain: one for each row
-- that stays deleted.
CREATE FUNCTION custody.softdelete_move_parents(origin bigint, target bigint, parents boolean)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    e record;
    other record;
    conflicts jsonb;
    given jsonb := '[]';
    moved bigint;
BEGIN
    LOOP
        PERFORM custody.softdelete_hold_parents(target);
        conflicts := '[]';
        moved := 0;
        FOR e IN SELECT x.* FROM custody.softdelete_edges_up(custody.softdelete_tables(target)) x
                 WHERE x.meaning <> 'severed' OR x.rule = 'd' LOOP
            FOR other IN EXECUTE format(
                'SELECT p.deletion_id AS deletion, %s AS parent, p.deleted_at AS at, p.deleted_by AS actor,'
                ' count(*) AS rows, (array_agg(%s))[1:5] AS records'
                ' FROM %s c JOIN %s p ON %s'
                ' WHERE c.deletion_id = $1 AND p.deleted_at IS NOT NULL AND p.deletion_id IS DISTINCT FROM $1%s'
                ' GROUP BY 1, 2, 3, 4 ORDER BY 1 NULLS LAST, 2 LIMIT 100',
                custody.softdelete_record_id(e.parent_root, 'p'), custody.softdelete_record_id(e.child_root, 'c'),
                custody.audit_relation(e.child), custody.audit_relation(e.parent),
                custody.softdelete_refers(e.constraint_oid, 'c', 'p'),
                -- What its default leads to a row cannot be without.
                CASE WHEN e.meaning = 'severed' THEN custody.softdelete_default_there(e.constraint_oid, 'c') ELSE '' END)
              USING target
            LOOP
                IF other.deletion IS NOT NULL AND (other.deletion = origin OR parents) THEN
                    PERFORM custody.softdelete_lock(other.deletion);
                    given := given || to_jsonb(other.deletion);
                    moved := moved + custody.softdelete_move(e.parent_root, other.deletion, target, format(
                        'EXISTS (SELECT FROM %s c WHERE c.deletion_id = $2 AND %s%s)',
                        custody.audit_relation(e.child), custody.softdelete_refers(e.constraint_oid, 'c', 't'),
                        CASE WHEN e.meaning = 'severed'
                             THEN custody.softdelete_default_there(e.constraint_oid, 'c') ELSE '' END), true);
                ELSE
                    conflicts := conflicts || jsonb_build_object(
                        'kind', 'parent', 'table', custody.audit_relation(e.child_root), 'constraint', e.name,
                        'rows', other.rows, 'records', to_jsonb(other.records),
                        'parent_table', custody.audit_relation(e.parent_root), 'parent_record', other.parent,
                        'deletion', other.deletion, 'deleted_at', other.at, 'deleted_by', other.actor);
                END IF;
            END LOOP;
        END LOOP;
        EXIT WHEN moved = 0;
    END LOOP;
    RETURN jsonb_build_object('conflicts', conflicts, 'given', given);
END
$function$;

-- Values that active rows have taken since, through indexes that are unique over active rows only.
CREATE FUNCTION custody.softdelete_taken(deletion bigint)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    i record;
    found jsonb;
    conflicts jsonb := '[]';
BEGIN
    FOR i IN
        SELECT x.indexrelid, x.indrelid AS relation, c.relname::text AS name, pg_get_expr(x.indpred, x.indrelid) AS predicate,
               string_agg(format('%s AS e%s', pg_get_indexdef(x.indexrelid, k.place::int, false), k.place), ', ' ORDER BY k.place) AS listed,
               string_agg(format('o.e%1$s %2$s r.e%1$s', k.place, CASE
                   WHEN (to_jsonb(x) ->> 'indnullsnotdistinct')::boolean AND a.atttypid <> 0
                   THEN 'IS NOT DISTINCT FROM' ELSE custody.audit_equality(a.atttypid) END), ' AND ' ORDER BY k.place) AS same,
               jsonb_agg(pg_get_indexdef(x.indexrelid, k.place::int, true) ORDER BY k.place) AS columns,
               string_agg(format('r.e%s::text', k.place), ', ' ORDER BY k.place) AS shown
        FROM unnest(custody.softdelete_tables(deletion)) AS t (relation)
        JOIN pg_index x ON x.indrelid = t.relation AND x.indisunique AND x.indisvalid
        JOIN pg_class c ON c.oid = x.indexrelid
        CROSS JOIN LATERAL generate_series(1, x.indnkeyatts) AS k (place)
        JOIN pg_attribute a ON a.attrelid = x.indexrelid AND a.attnum = k.place
        JOIN pg_attribute d ON d.attrelid = x.indrelid AND d.attname = 'deleted_at'
        WHERE x.indpred IS NOT NULL
          AND EXISTS (SELECT FROM pg_depend p WHERE p.classid = 'pg_class'::regclass AND p.objid = x.indexrelid
                      AND p.refclassid = 'pg_class'::regclass AND p.refobjid = x.indrelid AND p.refobjsubid = d.attnum)
        GROUP BY x.indexrelid, c.relname, x.indpred, x.indrelid
        ORDER BY c.relname
    LOOP
        EXECUTE format(
            'SELECT coalesce(jsonb_agg(jsonb_build_object(''kind'', ''unique'', ''table'', %L, ''record'', x.record,'
            ' ''constraint'', %L, ''columns'', %L::jsonb, ''values'', x.shown, ''other'', x.other)), ''[]'') FROM ('
            'SELECT r."custody record" AS record, o."custody record" AS other, jsonb_build_array(%s) AS shown FROM'
            ' (SELECT t."custody record", %s FROM (SELECT %s AS "custody record", %s FROM %s t WHERE t.deletion_id = $1) t WHERE %s) r'
            ' JOIN (SELECT %s AS "custody record", %s FROM %s t WHERE %s) o ON %s ORDER BY 1 LIMIT 100) x',
            custody.audit_relation(i.relation), i.name, i.columns, i.shown,
            i.listed, custody.softdelete_record_id(i.relation, 't'),
            (SELECT string_agg(CASE WHEN a.attname = 'deleted_at' THEN 'NULL::timestamptz AS deleted_at'
                               ELSE format('t.%I', a.attname) END, ', ' ORDER BY a.attnum)
             FROM pg_attribute a WHERE a.attrelid = i.relation AND a.attnum > 0 AND NOT a.attisdropped),
            custody.audit_relation(i.relation), i.predicate,
            custody.softdelete_record_id(i.relation, 't'), i.listed, custody.audit_relation(i.relation), i.predicate, i.same)
          INTO found USING deletion;
        conflicts := conflicts || found;
    END LOOP;
    RETURN conflicts;
END
$function$;

-- Gives rows in the bin other values, as text: {"email": "other@example.org"}.
CREATE FUNCTION custody.softdelete_change(relation oid, key jsonb, "values" jsonb, deletion bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    assignments text;
    unknown text;
    keyed record;
    changed bigint;
BEGIN
    SELECT string_agg(format('%I = ($2 ->> %L)::%s', v.name, v.name, custody.audit_type_name(a.atttypid)), ', '),
           string_agg(quote_ident(v.name), ', ') FILTER (WHERE a.attname IS NULL)
      INTO assignments, unknown
      FROM jsonb_object_keys("values") AS v (name)
      LEFT JOIN pg_attribute a ON a.attrelid = relation AND a.attname = v.name AND a.attnum > 0 AND NOT a.attisdropped
       AND a.attgenerated = '' AND a.attname NOT IN ('deleted_at', 'deleted_by', 'deletion_id')
       AND a.attnum <> ALL (custody.softdelete_key(relation));
    IF unknown IS NOT NULL OR assignments IS NULL THEN
        RAISE EXCEPTION '% cannot be given another value for %', custody.audit_relation(relation), coalesce(unknown, 'nothing')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO keyed FROM custody.softdelete_keyed(relation, '$1', 't');
    PERFORM custody.softdelete_path(relation);
    EXECUTE format('UPDATE %s t SET %s FROM %s WHERE %s AND t.deletion_id = $3',
                   custody.audit_relation(relation), assignments, keyed.source, keyed.condition)
      USING jsonb_build_array(key), "values", deletion;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed = 0 THEN
        RAISE EXCEPTION 'Deletion % has no such record of %', deletion, custody.audit_relation(relation)
            USING ERRCODE = 'no_data_found';
    END IF;
END
$function$;

-- References of rows of a deletion to rows that stay deleted, where ON DELETE sets them: they are set
-- now, and remembered with what they referred to.
CREATE FUNCTION custody.softdelete_sever_late(deletion bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    e record;
    cut record;
    became jsonb;
    joined text;
BEGIN
    FOR e IN SELECT x.*, n.nspname, c.relname FROM custody.softdelete_edges_up(custody.softdelete_tables(deletion)) x
             JOIN pg_class c ON c.oid = x.child_root JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE x.meaning = 'severed' LOOP
        SELECT * INTO cut FROM custody.softdelete_cut(e.constraint_oid, 'c');
        EXECUTE 'SELECT ' || cut.became INTO became;
        joined := format('%s p WHERE c.deletion_id = $1 AND p.deletion_id <> $1 AND %s',
                         custody.audit_relation(e.parent), custody.softdelete_refers(e.constraint_oid, 'c', 'p'));
        EXECUTE format(
            'INSERT INTO custody.retention_severedreference'
            ' (deletion_id, schema_name, table_name, table_oid, constraint_name, record_id, was, became)'
            ' SELECT p.deletion_id, %L, %L, %s, %L, %s, %s, $2 FROM %s c, %s',
            e.nspname, e.relname, e.child_root::bigint, e.name, custody.softdelete_record_id(e.child, 'c'), cut.was,
            custody.audit_relation(e.child), joined)
          USING deletion, became;
        IF FOUND THEN
            PERFORM custody.softdelete_path(e.child_root);
            EXECUTE format('UPDATE %s c SET %s FROM %s', custody.audit_relation(e.child), cut.assignments, joined)
              USING deletion;
            PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
        END IF;
    END LOOP;
END
$function$;

-- Puts back what a deletion severed, where what was referred to is active again and nobody has set
-- the reference since. Returns how many of each outcome.
CREATE FUNCTION custody.softdelete_put_back(deletion bigint)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    e record;
    cut record;
    open text;
    found text;
    written bigint;
    back bigint := 0;
    changed bigint := 0;
    gone bigint := 0;
BEGIN
    FOR e IN SELECT x.*, format('%s p WHERE p.deleted_at IS NULL AND %s',
                                custody.audit_relation(x.parent), custody.softdelete_referred(x.constraint_oid)) AS active,
                    custody.softdelete_severed_row(x.child) AS same
             FROM custody.softdelete_severed(deletion) x LOOP
        SELECT string_agg(format('%I = %s', a.attname, custody.softdelete_typed(format('s.was ->> %L', a.attname), a.atttypid)), ', ') AS assigned,
               string_agg(format('(%s) IS NOT DISTINCT FROM (s.became ->> %L)',
                                 custody.softdelete_text(format('c.%I', a.attname), a.atttypid), a.attname), ' AND ') AS unchanged
          INTO cut
          FROM custody.softdelete_cut(e.constraint_oid, 'c') k
          JOIN pg_attribute a ON a.attrelid = e.child AND a.attname = ANY (k.columns);
        open := format('s.deletion_id = $1 AND s.outcome = '''' AND s.table_oid = %s AND s.constraint_name = %L',
                       e.child_root::bigint, e.name);
        -- Severed twice, of two records that come back together: the later one counts.
        EXECUTE format('UPDATE custody.retention_severedreference r SET outcome = ''changed'' WHERE r.ctid = ANY (ARRAY('
                       'SELECT n.place FROM (SELECT s.ctid AS place, row_number() OVER (PARTITION BY s.record_id ORDER BY s.id DESC) AS n'
                       ' FROM custody.retention_severedreference s WHERE %s) n WHERE n.n > 1))', open) USING deletion;
        GET DIAGNOSTICS written = ROW_COUNT;
        changed := changed + written;
        IF custody.softdelete_strange(e.child_root) IS NOT NULL THEN
            -- Not with our rights; nor does it keep the rest from coming back.
            EXECUTE format('UPDATE custody.retention_severedreference s SET outcome = ''changed'' WHERE %s', open) USING deletion;
            GET DIAGNOSTICS written = ROW_COUNT;
            changed := changed + written;
            CONTINUE;
        END IF;
        -- Each reference asks for its rows by their keys, and is written where it stands: whatever the
        -- planner thinks of how many there are, it reads nothing once for each of them.
        found := format('(SELECT true FROM %s c CROSS JOIN LATERAL (SELECT FROM %s LIMIT 1) p WHERE %s LIMIT 1)',
                        custody.audit_relation(e.child), e.active, e.same);
        PERFORM custody.softdelete_nest(true), custody.softdelete_path(e.child_root);
        EXECUTE format('WITH found AS MATERIALIZED (SELECT s.*, s.ctid AS place FROM custody.retention_severedreference s WHERE %s AND %s),'
                       ' back AS (UPDATE %s c SET %s FROM found s WHERE %s AND %s RETURNING s.place)'
                       ' UPDATE custody.retention_severedreference s SET outcome = ''back'' FROM back WHERE s.ctid = back.place',
                       open, found, custody.audit_relation(e.child), cut.assigned, e.same, cut.unchanged) USING deletion;
        GET DIAGNOSTICS written = ROW_COUNT;
        PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
        back := back + written;
        EXECUTE format('UPDATE custody.retention_severedreference s SET outcome = ''changed'' WHERE %s AND %s', open, found)
          USING deletion;
        GET DIAGNOSTICS written = ROW_COUNT;
        changed := changed + written;
        EXECUTE format('UPDATE custody.retention_severedreference s SET outcome = ''gone'' WHERE %s AND (SELECT true FROM %s c WHERE %s LIMIT 1) IS NULL',
                       open, custody.audit_relation(e.child), e.same) USING deletion;
        GET DIAGNOSTICS written = ROW_COUNT;
        gone := gone + written;
    END LOOP;
    RETURN jsonb_build_object('back', back, 'changed', changed, 'gone', gone);
END
$function$;

-- Whether a deletion has this record now.
CREATE FUNCTION custody.softdelete_has(deletion bigint, "table" text, record text)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    relation oid := custody.softdelete_root("table"::regclass::oid);
    keyed record;
    found boolean;
BEGIN
    IF relation <> ALL (custody.softdelete_tables(deletion)) THEN
        RETURN false;
    END IF;
    SELECT * INTO keyed FROM custody.softdelete_keyed(relation, '$1', 't');
    EXECUTE format('SELECT EXISTS (SELECT FROM %s t, %s WHERE %s AND t.deletion_id = $2)',
                   custody.audit_relation(relation), keyed.source, keyed.condition)
       INTO found USING jsonb_build_array(custody.softdelete_key_values(relation, record)), deletion;
    RETURN found;
END
$function$;

-- Restores a deletion, or a part of it. With conflicts nothing is changed, and they are the answer.
CREATE FUNCTION custody.softdelete_restore(deletion bigint, rows jsonb, choices jsonb, parents boolean, reason text)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = on
SET jit = off
AS $function$
DECLARE
    d custody.retention_deletion;
    target bigint := deletion;
    rest bigint;
    skipped jsonb;
    conflicts jsonb := '[]';
    tables jsonb := '[]';
    severed jsonb;
    who text := custody.softdelete_actor();
    relation oid;
    number bigint;
    choice record;
    given bigint[] := '{}';
BEGIN
    PERFORM custody.softdelete_needs_fresh_snapshots();
    d := custody.softdelete_lock(deletion);
    reason := custody.softdelete_say(reason);
    BEGIN
        IF rows IS NOT NULL THEN
            target := custody.softdelete_split(deletion);
            PERFORM custody.softdelete_move_given(g.v, deletion, target)
               FROM (SELECT jsonb_agg(r.v) AS v FROM jsonb_array_elements(rows) AS r (v)
                     WHERE coalesce((r.v ->> 'below')::boolean, true)) g WHERE g.v IS NOT NULL;
            PERFORM custody.softdelete_move_below(deletion, target, false);
            -- One that stands below another, and was named itself, is there by now.
            PERFORM custody.softdelete_move_given(g.v, deletion, target)
               FROM (SELECT jsonb_agg(r.v) AS v FROM jsonb_array_elements(rows) AS r (v)
                     WHERE NOT (r.v ->> 'below')::boolean
                       AND NOT custody.softdelete_has(target, r.v ->> 'table', r.v ->> 'record')) g WHERE g.v IS NOT NULL;
        END IF;
        IF rows IS NOT NULL OR parents THEN
            given := ARRAY(SELECT g.v::bigint FROM jsonb_array_elements_text(
                custody.softdelete_move_parents(deletion, target, parents) -> 'given') AS g (v)) || deletion;
        END IF;
        FOR choice IN SELECT custody.softdelete_root((c.v ->> 'table')::regclass::oid) AS relation, c.v
                      FROM jsonb_array_elements(coalesce(choices, '[]')) AS c (v) WHERE c.v ->> 'do' = 'set' LOOP
            IF custody.softdelete_has(target, choice.v ->> 'table', choice.v ->> 'record') THEN
                PERFORM custody.softdelete_change(choice.relation,
                    custody.softdelete_key_values(choice.relation, choice.v ->> 'record'), choice.v -> 'values', target);
            END IF;
        END LOOP;
        SELECT jsonb_agg(c.v) INTO skipped FROM jsonb_array_elements(coalesce(choices, '[]')) AS c (v)
        WHERE c.v ->> 'do' = 'skip' AND custody.softdelete_has(target, c.v ->> 'table', c.v ->> 'record');
        IF skipped IS NOT NULL THEN
            rest := CASE WHEN target = deletion THEN custody.softdelete_split(deletion) ELSE deletion END;
            PERFORM custody.softdelete_move_given(skipped, target, rest);
            PERFORM custody.softdelete_move_below(target, rest, true);
            PERFORM custody.softdelete_begins(rest);
            IF cardinality(custody.softdelete_tables(target)) = 0 THEN
                RAISE EXCEPTION 'With that left in the bin nothing of deletion % comes back', deletion
                    USING ERRCODE = 'object_not_in_prerequisite_state';
            END IF;
        END IF;
        -- Again, for what is to be restored in the end.
        conflicts := (custody.softdelete_move_parents(target, target, false) -> 'conflicts') || custody.softdelete_taken(target);
        IF conflicts <> '[]' THEN
            RAISE EXCEPTION USING ERRCODE = 'CU001', MESSAGE = 'conflicts';
        END IF;
        PERFORM custody.softdelete_begins(target) WHERE target <> deletion;
        PERFORM custody.softdelete_sever_late(target);
        FOREACH relation IN ARRAY custody.softdelete_tables(target) LOOP
            PERFORM custody.softdelete_path(relation);
            EXECUTE format('UPDATE %s t SET deleted_at = NULL, deleted_by = NULL, deletion_id = NULL WHERE t.deletion_id = $1',
                           custody.audit_relation(relation)) USING target;
            GET DIAGNOSTICS number = ROW_COUNT;
            PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
            UPDATE custody.retention_deletiontable t SET restored = t.restored + number
             WHERE t.deletion_id = target AND t.table_oid = relation::bigint;
            tables := tables || jsonb_build_object('table', custody.audit_relation(relation), 'rows', number);
            IF custody.softdelete_tables(target) @> ARRAY[relation] THEN
                RAISE EXCEPTION 'A trigger of % keeps rows as they are', custody.audit_relation(relation)
                    USING ERRCODE = 'object_not_in_prerequisite_state';
            END IF;
        END LOOP;
        severed := custody.softdelete_put_back(target);
        -- And whatever gave all it had.
        UPDATE custody.retention_deletion x
           SET state = 'restored', restored_at = clock_timestamp(), restored_by = who, restore_reason = softdelete_restore.reason
         WHERE x.state = 'deleted' AND cardinality(custody.softdelete_tables(x.id)) = 0
           AND (x.id = target OR x.id = ANY (given));
    EXCEPTION
        WHEN SQLSTATE 'CU001' THEN
            RETURN jsonb_build_object('restored', false, 'deletion', deletion, 'tables', '[]'::jsonb, 'severed', NULL,
                                      'left', NULL, 'conflicts', conflicts);
    END;
    RETURN jsonb_build_object('restored', true, 'deletion', target, 'tables', tables, 'severed', severed,
                              'left', rest, 'conflicts', '[]'::jsonb);
END
$function$;

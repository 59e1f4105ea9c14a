-- Deleting: a record is marked with all that goes along, level by level, a few statements a table.

-- Marks the active rows that go along with marked ones through one foreign key; returns how many.
-- Through a key that leads from a table to itself, all that hang below, however deep.
CREATE FUNCTION custody.softdelete_follow(e custody.softdelete_edge, deletion bigint, moment timestamptz, actor text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    source text;
    joined text;
    locked bigint := -1;
    found bigint;
BEGIN
    IF e.child = e.parent THEN
        source := format(
            'WITH RECURSIVE below AS ('
            'SELECT c.tableoid AS leaf, c.ctid AS place FROM %1$s c JOIN %1$s p ON %2$s'
            ' WHERE p.deletion_id = $1 AND c.deleted_at IS NULL'
            ' UNION SELECT c.tableoid, c.ctid FROM below b'
            ' JOIN %1$s p ON p.ctid = b.place AND p.tableoid = b.leaf JOIN %1$s c ON %2$s'
            ' WHERE c.deleted_at IS NULL) ',
            custody.audit_relation(e.child), custody.softdelete_refers(e.constraint_oid, 'c', 'p'));
        joined := 'below p WHERE t.ctid = p.place AND t.tableoid = p.leaf';
    ELSE
        source := '';
        joined := format('%s p WHERE p.deletion_id = $1 AND t.deleted_at IS NULL AND %s',
                         custody.audit_relation(e.parent), custody.softdelete_refers(e.constraint_oid, 't', 'p'));
    END IF;
    PERFORM custody.softdelete_nest(e.indexed);
    -- Rows that others may refer to are locked first, until no more are found: to a row that is
    -- locked no other can be added. What refers to none of ours is locked by being changed.
    WHILE e.referred LOOP
        EXECUTE format('%sSELECT count(*) FROM (SELECT FROM %s t, %s FOR UPDATE OF t) x',
                       source, custody.audit_relation(e.child), joined)
           INTO found USING deletion;
        EXIT WHEN found = locked OR e.child <> e.parent;
        locked := found;
    END LOOP;
    PERFORM custody.softdelete_path(e.child_root);
    EXECUTE format('%sUPDATE %s t SET deleted_at = $2, deleted_by = $3, deletion_id = $1 FROM %s',
                   source, custody.audit_relation(e.child), joined)
      USING deletion, moment, actor;
    GET DIAGNOSTICS found = ROW_COUNT;
    RETURN found;
END
$function$;

-- What active rows refer to marked ones through a key, as an entry of what refuses; NULL for none. Through
-- one that sets a default, those that have it already: it leads to what is marked.
CREATE FUNCTION custody.softdelete_refusal(e custody.softdelete_edge, deletion bigint)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    most CONSTANT integer := 1000;
    found bigint;
    ids text[];
BEGIN
    IF NOT e.enabled THEN
        PERFORM custody.softdelete_no_stranger(e.child_root, e.name);
    END IF;
    PERFORM custody.softdelete_nest(e.indexed);
    EXECUTE format(
        'SELECT count(*), (array_agg(x.id))[1:5] FROM (SELECT %s AS id FROM %s p JOIN %s c ON %s'
        ' WHERE p.deletion_id = $1%s%s LIMIT %s) x',
        coalesce(custody.softdelete_record_id(e.child, 'c'), '''?'''),
        custody.audit_relation(e.parent), custody.audit_relation(e.child),
        custody.softdelete_refers(e.constraint_oid, 'c', 'p'),
        CASE WHEN e.enabled THEN ' AND c.deleted_at IS NULL' ELSE '' END,
        CASE WHEN e.meaning = 'severed' THEN custody.softdelete_default_there(e.constraint_oid, 'c') ELSE '' END, most)
      INTO found, ids USING deletion;
    IF found = 0 THEN
        RETURN NULL;
    END IF;
    RETURN jsonb_build_object(
        'table', custody.audit_relation(e.child_root), 'constraint', e.name, 'rows', found,
        'more', found = most, 'records', to_jsonb(ids), 'meaning', e.meaning, 'enabled', e.enabled);
END
$function$;

-- Sets the reference of active rows to marked ones to NULL or its default, and remembers it.
CREATE FUNCTION custody.softdelete_sever(e custody.softdelete_edge, deletion bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    named record;
    cut record;
    id text;
    found bigint;
    became jsonb;
BEGIN
    SELECT n.nspname, c.relname INTO STRICT named
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = e.child_root;
    IF NOT e.enabled THEN
        PERFORM custody.softdelete_no_stranger(e.child_root, e.name);
    END IF;
    id := custody.softdelete_record_id(e.child, 'c');
    SELECT * INTO cut FROM custody.softdelete_cut(e.constraint_oid, 'c');
    PERFORM custody.softdelete_nest(e.indexed);
    EXECUTE 'SELECT ' || cut.became INTO became;
    EXECUTE format(
        'INSERT INTO custody.retention_severedreference'
        ' (deletion_id, schema_name, table_name, table_oid, constraint_name, record_id, was, became)'
        ' SELECT $1, %L, %L, %s, %L, x.id, x.was, $2 FROM ('
        'SELECT %s AS id, %s AS was FROM %s p JOIN %s c ON %s WHERE p.deletion_id = $1%s FOR UPDATE OF c) x',
        named.nspname, named.relname, e.child_root::bigint, e.name, coalesce(id, '''?'''), cut.was,
        custody.audit_relation(e.parent), custody.audit_relation(e.child),
        custody.softdelete_refers(e.constraint_oid, 'c', 'p'),
        CASE WHEN e.enabled THEN ' AND c.deleted_at IS NULL' ELSE '' END)
      USING deletion, became;
    GET DIAGNOSTICS found = ROW_COUNT;
    IF found > 0 THEN
        IF id IS NULL THEN
            RAISE EXCEPTION '% refers to what is to be deleted (%), and has no key', custody.audit_relation(e.child), e.name
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = 'Its reference could not be put back. Give it a primary key.';
        END IF;
        PERFORM custody.softdelete_path(e.child_root);
        EXECUTE format('UPDATE %s c SET %s FROM %s p WHERE p.deletion_id = $1 AND %s%s',
                       custody.audit_relation(e.child), cut.assignments, custody.audit_relation(e.parent),
                       custody.softdelete_refers(e.constraint_oid, 'c', 'p'),
                       CASE WHEN e.enabled THEN ' AND c.deleted_at IS NULL' ELSE '' END)
          USING deletion;
    END IF;
    RETURN found;
END
$function$;

-- How a reference is severed: the columns that ON DELETE sets, as JSON expressions and assignments.
CREATE FUNCTION custody.softdelete_cut("constraint" oid, alias text)
RETURNS TABLE (was text, became text, assignments text, columns text[])
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT format('jsonb_build_object(%s)', string_agg(format('%L, %s', a.attname,
                  custody.softdelete_text(format('%I.%I', alias, a.attname), a.atttypid)), ', ' ORDER BY k.place)),
           format('jsonb_build_object(%s)', string_agg(format('%L, %s', a.attname,
                  CASE WHEN f.confdeltype = 'd' AND d.oid IS NOT NULL
                       THEN custody.softdelete_text(format('(%s)::%s', pg_get_expr(d.adbin, d.adrelid),
                                                           custody.audit_type_name(a.atttypid)), a.atttypid)
                       ELSE 'NULL' END), ', ' ORDER BY k.place)),
           string_agg(format('%I = %s', a.attname, CASE f.confdeltype WHEN 'd' THEN 'DEFAULT' ELSE 'NULL' END),
                      ', ' ORDER BY k.place),
           array_agg(a.attname::text ORDER BY k.place)
    FROM pg_constraint f
    CROSS JOIN LATERAL unnest(coalesce(f.confdelsetcols, f.conkey)) WITH ORDINALITY AS k (attnum, place)
    JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.attnum
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE f.oid = "constraint"
$function$;

-- That setting the default would change nothing of a reference, as a condition that begins with AND.
CREATE FUNCTION custody.softdelete_default_there("constraint" oid, alias text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT format(' AND %s = %s', cut.was, cut.became) FROM custody.softdelete_cut("constraint", alias) cut
$function$;

-- Ends a deletion whose own rows are marked and locked: takes along what hangs on them, refuses, severs.
CREATE FUNCTION custody.softdelete_complete(deletion bigint, root oid, rows bigint, moment timestamptz, actor text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = on
SET jit = off
AS $function$
DECLARE
    taken bigint;
    level integer := 0;
    touched oid[] := '{}';
    changed oid[] := ARRAY[root];
    following oid[];
    edges custody.softdelete_edge[] := '{}';
    e custody.softdelete_edge;
    refused jsonb;
    entry jsonb;
BEGIN
    PERFORM custody.softdelete_count(deletion, root, 0, rows);
    WHILE cardinality(changed) > 0 LOOP
        edges := edges || ARRAY(SELECT x FROM custody.softdelete_edges(
            ARRAY(SELECT u FROM unnest(changed) u WHERE u <> ALL (touched))) x);
        touched := touched || changed;
        level := level + 1;
        following := '{}';
        FOREACH e IN ARRAY edges LOOP
            CONTINUE WHEN e.meaning <> 'along' OR NOT e.enabled OR e.parent_root <> ALL (changed);
            taken := custody.softdelete_follow(e, deletion, moment, actor);
            IF taken > 0 THEN
                PERFORM custody.softdelete_count(deletion, e.child_root, level, taken);
                IF e.child_root <> ALL (following) THEN
                    following := following || e.child_root;
                END IF;
            END IF;
        END LOOP;
        changed := following;
    END LOOP;
    refused := '[]';
    FOR e IN SELECT x.* FROM unnest(edges) x
             WHERE x.meaning = 'refused' OR x.meaning = 'severed' AND x.rule = 'd'
                OR x.meaning = 'along' AND (NOT x.enabled OR custody.softdelete_keeps(x.child))
             ORDER BY custody.audit_relation(x.child_root) COLLATE "C", x.name COLLATE "C" LOOP
        entry := custody.softdelete_refusal(e, deletion);
        IF entry IS NOT NULL THEN
            refused := refused || entry;
        END IF;
    END LOOP;
    IF refused <> '[]' THEN
        RAISE EXCEPTION '% cannot be deleted: %', custody.audit_relation(root), (
            SELECT string_agg(format('%s%s of %s %s', CASE WHEN (r.v ->> 'more')::boolean THEN 'over ' ELSE '' END,
                       CASE r.v ->> 'rows' WHEN '1' THEN '1 row' ELSE (r.v ->> 'rows') || ' rows' END, r.v ->> 'table',
                       CASE WHEN r.v ->> 'meaning' = 'refused' THEN 'refer to it and would stay'
                            WHEN r.v ->> 'meaning' = 'severed' THEN 'refer to it by default and would stay'
                            WHEN (r.v ->> 'enabled')::boolean THEN 'would stay because of a trigger'
                            ELSE 'would go along and have no soft delete' END), ', ')
            FROM jsonb_array_elements(refused) AS r (v))
            USING ERRCODE = 'foreign_key_violation', DETAIL = custody.softdelete_told(refused)::text;
    END IF;
    FOR e IN SELECT x.* FROM unnest(edges) x WHERE x.meaning = 'severed'
             ORDER BY custody.audit_relation(x.child_root) COLLATE "C", x.name COLLATE "C" LOOP
        PERFORM custody.softdelete_sever(e, deletion);
    END LOOP;
END
$function$;

-- Deletes the records of these keys with all that hangs on them, and returns the deletion. `keys` is
-- a JSON array of keys, each an array of texts in the key's order. A policy's rows that are gone or
-- deleted by now are left out, and when none is left it returns NULL.
CREATE FUNCTION custody.softdelete_rows(relation oid, keys jsonb, reason text, source text)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = on
SET jit = off
AS $function$
DECLARE
    root oid := custody.softdelete_root(relation);
    s custody.retention_softdeletetable := custody.softdelete_table(relation);
    keyed record;
    known record;
    moment timestamptz := clock_timestamp();
    actor text := custody.softdelete_actor();
    deletion bigint;
    rows bigint;
BEGIN
    IF s.id IS NULL THEN
        RAISE EXCEPTION '% does not have soft delete', custody.audit_relation(relation)
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('manage.py softdelete_enable %s', custody.audit_relation(root));
    END IF;
    PERFORM custody.softdelete_needs_fresh_snapshots();
    reason := custody.softdelete_say(reason);
    SELECT * INTO keyed FROM custody.softdelete_keyed(root, '$1', 't');
    EXECUTE format(
        'SELECT count(*) AS rows, count(x.deleted_at) AS gone, min(x.deletion_id) AS deletion,'
        ' min(x.deleted_at) AS at, min(x.deleted_by) AS actor'
        ' FROM (SELECT t.deleted_at, t.deletion_id, t.deleted_by FROM %s t, %s WHERE %s FOR UPDATE OF t) x',
        custody.audit_relation(root), keyed.source, keyed.condition)
      INTO known USING keys;
    IF source <> 'policy' AND known.rows < jsonb_array_length(keys) THEN
        RAISE EXCEPTION 'There is no such record of %', custody.audit_relation(root)
            USING ERRCODE = 'no_data_found';
    ELSIF source <> 'policy' AND known.gone > 0 THEN
        RAISE EXCEPTION 'It was deleted already, at % by %', date_trunc('second', known.at), known.actor
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = CASE WHEN known.deletion IS NULL THEN NULL ELSE format('It is in deletion %s.', known.deletion) END;
    ELSIF known.rows = known.gone THEN
        RETURN NULL;
    END IF;
    INSERT INTO custody.retention_deletion AS d
           (schema_name, table_name, table_oid, record_id, roots, deleted_at, actor, reason, source, xid, purge_after)
    VALUES (s.schema_name, s.table_name, root::bigint, '', known.rows - known.gone, moment, actor, reason, source,
            pg_current_xact_id()::text::bigint, moment + s.grace_days * interval '1 day')
    RETURNING id INTO deletion;
    PERFORM custody.softdelete_path(root);
    EXECUTE format('UPDATE %s t SET deleted_at = $2, deleted_by = $3, deletion_id = $4 FROM %s WHERE %s AND t.deleted_at IS NULL',
                   custody.audit_relation(root), keyed.source, keyed.condition)
      USING keys, moment, actor, deletion;
    GET DIAGNOSTICS rows = ROW_COUNT;
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
    IF rows < known.rows - known.gone THEN
        RAISE EXCEPTION 'A trigger of % keeps the record as it is', custody.audit_relation(root)
            USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF rows = 1 THEN
        EXECUTE format('UPDATE custody.retention_deletion d SET record_id = %s FROM %s t WHERE d.id = $1 AND t.deletion_id = $1',
                       custody.softdelete_record_id(root, 't'), custody.audit_relation(root)) USING deletion;
    END IF;
    PERFORM custody.softdelete_complete(deletion, root, rows, moment, actor);
    RETURN deletion;
END
$function$;

-- The application's own DELETE becomes a soft one: what it takes away is put back at once, marked.
--
-- - DELETE says what it always says, in counts and in RETURNING, for it has really deleted.
-- - The rows are back before PostgreSQL's own foreign keys look (triggers fire by name, RI_... after
--   CUSTODY_...), so that a row may refer to another that is in the bin, and what CASCADE deletes finds
--   its parent. What PostgreSQL would have refused is refused by us in its place.
-- - Of a partitioned table rows are back after the statement: no row there sees the others'.

-- The deletion of this transaction.
CREATE FUNCTION custody.softdelete_captured_deletion(root oid)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    s custody.retention_softdeletetable := custody.softdelete_table(root);
    said text[] := string_to_array(current_setting('custody.captured', true), ':');
    deletion bigint;
BEGIN
    IF said[2] = custody.audit_mark('captured' || said[1]) THEN
        RETURN said[1]::bigint;
    END IF;
    INSERT INTO custody.retention_deletion
           (schema_name, table_name, table_oid, deleted_at, actor, reason, source, xid, purge_after)
    VALUES (s.schema_name, s.table_name, s.table_oid, clock_timestamp(), custody.softdelete_actor(), custody.softdelete_say(NULL),
            'captured', pg_current_xact_id()::text::bigint, clock_timestamp() + s.grace_days * interval '1 day')
    RETURNING id INTO deletion;
    PERFORM set_config('custody.captured', deletion || ':' || custody.audit_mark('captured' || deletion), true);
    RETURN deletion;
END
$function$;

-- A row of alias o that is there again by its key: put back already, or written again by the same
-- statement, which is no deletion.
CREATE FUNCTION custody.softdelete_there(root oid)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT format('EXISTS (SELECT FROM %s t WHERE %s)', custody.audit_relation(root),
                  string_agg(custody.audit_same('t', 'o', a.attname::text, a.atttypid), ' AND '))
    FROM unnest(custody.softdelete_key(root)) AS k (attnum)
    JOIN pg_attribute a ON a.attrelid = root AND a.attnum = k.attnum
);

-- How the rows of custody_old are put back. $1 is the moment, $2 who, $3 the deletion.
CREATE FUNCTION custody.softdelete_put(root oid)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT format(
        'WITH i AS (INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM custody_old o WHERE NOT %s'
        ' RETURNING deletion_id) SELECT count(*), count(*) FILTER (WHERE deletion_id = $3) FROM i',
        custody.audit_relation(root), string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
        string_agg(CASE a.attname
            WHEN 'deleted_at' THEN 'coalesce(o.deleted_at, $1)'
            WHEN 'deleted_by' THEN 'CASE WHEN o.deleted_at IS NULL THEN $2 ELSE o.deleted_by END'
            WHEN 'deletion_id' THEN 'CASE WHEN o.deleted_at IS NULL THEN $3 ELSE o.deletion_id END'
            ELSE format('o.%I', a.attname) END, ', ' ORDER BY a.attnum),
        custody.softdelete_there(root))
    FROM pg_attribute a WHERE a.attrelid = root AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
);

-- Before PostgreSQL's foreign keys look at the first row of a statement, all its rows are put back.
-- After the statement again, for what is missing then: of a partitioned table all of it.
CREATE FUNCTION custody.softdelete_capture()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $function$
DECLARE
    root oid;
    setting text;
    remaining bigint;
    gone bigint;
    active bigint;
    put bigint;
    taken bigint;
    deletion bigint;
    d custody.retention_deletion;
    e custody.softdelete_edge;
BEGIN
    IF custody.softdelete_passes() THEN
        RETURN NULL;
    END IF;
    IF TG_LEVEL = 'ROW' THEN
        setting := 'custody.captured_' || TG_RELID || '_' || pg_trigger_depth();
        remaining := nullif(current_setting(setting, true), '')::bigint;
        IF remaining > 0 THEN
            PERFORM set_config(setting, (remaining - 1)::text, true);
            RETURN NULL;
        END IF;
        SELECT count(*) INTO remaining FROM custody_old;
        PERFORM set_config(setting, (remaining - 1)::text, true);
    END IF;
    root := custody.softdelete_root(TG_RELID);
    IF (custody.softdelete_table(root)).id IS NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT count(*), count(*) FILTER (WHERE o.deleted_at IS NULL) FROM custody_old o WHERE NOT %s',
                   custody.softdelete_there(root)) INTO gone, active;
    IF gone > 0 THEN
        IF active > 0 THEN
            deletion := custody.softdelete_captured_deletion(root);
            SELECT * INTO STRICT d FROM custody.retention_deletion x WHERE x.id = deletion;
        END IF;
        PERFORM custody.softdelete_path(root);
        EXECUTE custody.softdelete_put(root) INTO put, taken USING d.deleted_at, d.actor, deletion;
        PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
        IF put < gone OR taken < active THEN
            RAISE EXCEPTION 'A trigger of % keeps its deleted rows out of the bin', custody.audit_relation(root)
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = 'They are inserted again with deleted_at set: let the trigger leave such rows alone.';
        END IF;
        IF active > 0 THEN
            PERFORM set_config('custody.captured_done', '', true);
            PERFORM custody.softdelete_count(deletion, root, 0, active);
            FOR e IN SELECT x.* FROM custody.softdelete_edges(ARRAY[root]) x WHERE x.rule IN ('n', 'd') LOOP
                PERFORM custody.softdelete_sever(e, deletion);
            END LOOP;
        END IF;
    END IF;
    IF TG_LEVEL = 'STATEMENT' THEN
        PERFORM custody.softdelete_captured_stays(root);
    END IF;
    RETURN NULL;
END
$function$;

-- What a foreign key that is checked at once would have refused, had the row not been put back.
CREATE FUNCTION custody.softdelete_captured_stays(root oid, at_once boolean DEFAULT true)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    said text[] := string_to_array(current_setting('custody.captured', true), ':');
    e record;
    entry jsonb;
BEGIN
    IF said[2] IS DISTINCT FROM custody.audit_mark('captured' || said[1]) THEN
        RETURN;
    END IF;
    FOR e IN SELECT x AS edge, c.relname AS child_name, p.relname AS parent_name, n.nspname
             FROM custody.softdelete_edges(ARRAY[root]) x
             JOIN pg_constraint f ON f.oid = x.constraint_oid
             JOIN pg_class c ON c.oid = x.child_root JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_class p ON p.oid = x.parent_root
             WHERE x.rule IN ('a', 'r') AND NOT f.condeferrable OR x.rule = 'd'
                OR NOT at_once AND x.rule NOT IN ('n', 'd') LOOP
        IF (e.edge).rule NOT IN ('c', 'd') THEN
            PERFORM custody.softdelete_needs_fresh_snapshots();
        END IF;
        entry := custody.softdelete_refusal(e.edge, said[1]::bigint);
        IF entry IS NOT NULL THEN
            RAISE EXCEPTION 'update or delete on table "%" violates foreign key constraint "%" on table "%"',
                e.parent_name, (e.edge).name, e.child_name
                USING ERRCODE = 'foreign_key_violation', SCHEMA = e.nspname, TABLE = e.child_name, CONSTRAINT = (e.edge).name,
                      DETAIL = format('Key is still referenced from table "%s".', e.child_name);
        END IF;
    END LOOP;
END
$function$;

-- At the end of the transaction, or where its constraints are to be immediate: the deletion begins
-- with the topmost table, and nothing active refers to it any more.
CREATE FUNCTION custody.softdelete_captured_end()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    deletion bigint := NEW.deletion_id;
    tables oid[];
    above oid[];
    below oid[];
    depth integer := 0;
BEGIN
    IF current_setting('custody.captured_done', true) = custody.audit_mark('captured_done' || deletion)
       OR NOT EXISTS (SELECT FROM custody.retention_deletion d WHERE d.id = deletion AND d.source = 'captured' AND d.state = 'deleted') THEN
        RETURN NULL;
    END IF;
    tables := ARRAY(SELECT t.table_oid::oid FROM custody.retention_deletiontable t WHERE t.deletion_id = deletion ORDER BY t.id);
    below := ARRAY(SELECT DISTINCT e.child_root FROM custody.softdelete_edges(tables) e
                   WHERE e.meaning = 'along' AND e.child_root <> e.parent_root);
    above := ARRAY(SELECT u FROM unnest(tables) u WHERE u <> ALL (below));
    IF cardinality(above) = 0 THEN
        above := tables[1:1];
    END IF;
    below := ARRAY(SELECT u FROM unnest(tables) u WHERE u <> ALL (above));
    WHILE cardinality(above) > 0 LOOP
        UPDATE custody.retention_deletiontable t SET level = depth
         WHERE t.deletion_id = deletion AND t.table_oid::oid = ANY (above) AND t.level <> depth;
        depth := depth + 1;
        above := ARRAY(SELECT DISTINCT e.child_root FROM custody.softdelete_edges(above) e
                       WHERE e.meaning = 'along' AND e.child_root = ANY (below));
        below := ARRAY(SELECT u FROM unnest(below) u WHERE u <> ALL (above));
    END LOOP;
    PERFORM custody.softdelete_begins(deletion);
    PERFORM custody.softdelete_captured_stays(t.relation, false) FROM unnest(tables) AS t (relation);
    PERFORM set_config('custody.captured_done', custody.audit_mark('captured_done' || deletion), true);
    RETURN NULL;
END
$function$;

CREATE CONSTRAINT TRIGGER softdelete_captured_end AFTER INSERT OR UPDATE OF deleted ON custody.retention_deletiontable
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (current_setting('custody.captured', true) <> '')
    EXECUTE FUNCTION custody.softdelete_captured_end();

-- A row in the bin is not deleted again, by nobody but the purge: DELETE leaves it out. Only where what
-- it refers to is gone already it goes and comes back, so that its foreign keys decide.
CREATE FUNCTION custody.softdelete_stay()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    f record;
    stands boolean;
BEGIN
    IF custody.softdelete_passes() OR (custody.softdelete_table(TG_RELID)).id IS NULL THEN
        RETURN OLD;
    END IF;
    FOR f IN SELECT x.oid, x.confrelid,
                    (SELECT string_agg(format('c.%I IS NULL', a.attname), ' OR ') FROM unnest(x.conkey) AS k (attnum)
                     JOIN pg_attribute a ON a.attrelid = x.conrelid AND a.attnum = k.attnum) AS none
             FROM pg_constraint x
             WHERE x.contype = 'f' AND x.conparentid = 0 AND x.confdeltype = 'c'
               AND x.conrelid IN (TG_RELID, custody.softdelete_root(TG_RELID)) LOOP
        EXECUTE format('SELECT %s OR EXISTS (SELECT FROM %s p WHERE %s) FROM (SELECT ($1).*) c',
                       f.none, custody.audit_relation(f.confrelid), custody.softdelete_refers(f.oid, 'c', 'p'))
           INTO stands USING OLD;
        IF NOT stands THEN
            RETURN OLD;
        END IF;
    END LOOP;
    RETURN NULL;
END
$function$;

-- TRUNCATE would destroy, and nothing could be put back.
CREATE FUNCTION custody.softdelete_truncate()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF NOT custody.softdelete_passes() AND (custody.softdelete_table(TG_RELID)).id IS NOT NULL THEN
        RAISE EXCEPTION 'TRUNCATE would destroy the rows of %.%, and its bin', TG_TABLE_SCHEMA, TG_TABLE_NAME
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'DELETE moves them into the bin. To destroy them: manage.py softdelete_disable, or purge them in the console.';
    END IF;
    RETURN NULL;
END
$function$;

CREATE FUNCTION custody.softdelete_capture_triggers(root oid)
RETURNS TABLE (relation oid, prefix text, definition text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    -- A partition, or what inherits, may not have a trigger of rows that sees the others.
    SELECT root, 'CUSTODY_softdelete_capture_',
           format('AFTER DELETE ON %s REFERENCING OLD TABLE AS custody_old FOR EACH ROW'
                  ' EXECUTE FUNCTION custody.softdelete_capture()', custody.audit_relation(root))
    FROM pg_class c WHERE c.oid = root AND c.relkind = 'r' AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = root)
    UNION ALL
    SELECT t.relation, 'CUSTODY_softdelete_captured_',
           format('AFTER DELETE ON %s REFERENCING OLD TABLE AS custody_old FOR EACH STATEMENT'
                  ' EXECUTE FUNCTION custody.softdelete_capture()', custody.audit_relation(t.relation))
    FROM custody.softdelete_tree(root) t
    UNION ALL
    SELECT t.relation, 'custody_softdelete_stay_',
           format('BEFORE DELETE ON %s FOR EACH ROW WHEN (OLD.deletion_id IS NOT NULL)'
                  ' EXECUTE FUNCTION custody.softdelete_stay()', custody.audit_relation(t.relation))
    FROM custody.softdelete_tree(root) t WHERE NOT t.partitioned
    UNION ALL
    SELECT t.relation, 'custody_softdelete_truncate_',
           format('BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION custody.softdelete_truncate()',
                  custody.audit_relation(t.relation))
    FROM custody.softdelete_tree(root) t
$function$;

-- Guards of children, and what the application does by its own UPDATE.
--
-- A trigger has in its name a digest of all that it was made from: one that is no longer wanted is
-- found by its name, and nothing is made again that stands.

-- The rows of `source` that refer to a deleted row through a foreign key: the first one's key, as text.
-- PostgreSQL's own check has locked the parent before a statement's trigger comes to it, unless it waits
-- for the commit: then, and for single rows, we lock it, and look at it as it is afterwards.
CREATE FUNCTION custody.softdelete_guard_query("constraint" oid, source text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT format(
        'WITH l AS MATERIALIZED (SELECT p.deleted_at, %s AS key FROM %s n JOIN %s p ON %s%s%s)'
        ' SELECT l.key FROM l WHERE l.deleted_at IS NOT NULL LIMIT 1',
        (SELECT 'concat_ws('', '', ' || string_agg(format('n.%I', a.attname), ', ' ORDER BY k.place) || ')'
         FROM unnest(f.conkey) WITH ORDINALITY AS k (attnum, place)
         JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.attnum),
        source, custody.audit_relation(f.confrelid), custody.softdelete_refers(f.oid, 'n', 'p'),
        CASE WHEN custody.softdelete_has_column(f.conrelid, 'deletion_id')
              AND (custody.softdelete_entry(f.conrelid)).id IS NOT NULL THEN ' WHERE n.deleted_at IS NULL' ELSE '' END,
        CASE WHEN f.condeferrable OR source <> 'custody_new' THEN ' FOR KEY SHARE OF p' ELSE '' END)
    FROM pg_constraint f WHERE f.oid = "constraint"
);

-- An active row may not come under a deleted one: refused as the foreign key would refuse it.
CREATE FUNCTION custody.softdelete_guard()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    source text := CASE TG_LEVEL WHEN 'STATEMENT' THEN 'custody_new' ELSE '(SELECT ($1).*)' END;
    key text;
    f record;
BEGIN
    BEGIN
        IF TG_LEVEL = 'STATEMENT' THEN
            EXECUTE TG_ARGV[0] INTO key;
        ELSE
            EXECUTE TG_ARGV[0] INTO key USING NEW;
        END IF;
    EXCEPTION WHEN undefined_column OR undefined_table OR invalid_schema_name THEN
        -- Something was renamed, and no event trigger was there to follow it.
        SELECT x.oid INTO f FROM pg_constraint x
        WHERE x.contype = 'f' AND x.conparentid = 0 AND x.conname = TG_ARGV[1]
          AND custody.softdelete_root(x.conrelid) = custody.softdelete_root(TG_RELID);
        IF FOUND AND TG_LEVEL = 'STATEMENT' THEN
            EXECUTE custody.softdelete_guard_query(f.oid, source) INTO key;
        ELSIF FOUND THEN
            EXECUTE custody.softdelete_guard_query(f.oid, source) INTO key USING NEW;
        END IF;
    END;
    IF key IS NOT NULL THEN
        RAISE EXCEPTION 'insert or update on table "%" violates foreign key constraint "%"', TG_TABLE_NAME, TG_ARGV[1]
            USING ERRCODE = 'foreign_key_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                  CONSTRAINT = TG_ARGV[1],
                  DETAIL = format('Key (%s)=(%s) is not present in table "%s".', TG_ARGV[2], key, TG_ARGV[3]);
    END IF;
    RETURN NEW;
END
$function$;

-- The application marks a row as deleted itself: the rows of one statement become a deletion.
CREATE FUNCTION custody.softdelete_own()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    s custody.retention_softdeletetable := custody.softdelete_table(TG_RELID);
    setting text := 'custody.own_' || custody.softdelete_root(TG_RELID);
    said text[] := string_to_array(current_setting(setting, true), ':');
    actor text := custody.softdelete_actor();
    deletion bigint;
BEGIN
    IF s.id IS NULL THEN
        RETURN NEW;
    ELSIF said[2] = custody.audit_mark(setting || said[1]) THEN
        deletion := said[1]::bigint;
    ELSE
        IF coalesce(trim(NEW.deleted_by), '') <> '' THEN
            actor := left(CASE WHEN starts_with(NEW.deleted_by, 'app:') THEN '' ELSE 'app:' END || NEW.deleted_by, 300);
        END IF;
        INSERT INTO custody.retention_deletion
               (schema_name, table_name, table_oid, deleted_at, actor, reason, source, xid, purge_after)
        VALUES (s.schema_name, s.table_name, s.table_oid, clock_timestamp(), actor, custody.softdelete_say(NULL), 'function',
                pg_current_xact_id()::text::bigint, clock_timestamp() + s.grace_days * interval '1 day')
        RETURNING id INTO deletion;
        PERFORM set_config(setting, deletion || ':' || custody.audit_mark(setting || deletion), true);
    END IF;
    NEW.deletion_id := deletion;
    NEW.deleted_by := coalesce(nullif(trim(NEW.deleted_by), ''), actor);
    RETURN NEW;
END
$function$;

-- After the statement: what hangs on those rows goes along, as with custody.soft_delete.
CREATE FUNCTION custody.softdelete_own_done()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    root oid := custody.softdelete_root(TG_RELID);
    setting text := 'custody.own_' || root;
    said text[] := string_to_array(current_setting(setting, true), ':');
    d custody.retention_deletion;
    number bigint;
    first text;
BEGIN
    IF said[2] IS DISTINCT FROM custody.audit_mark(setting || said[1]) THEN
        RETURN NULL;
    END IF;
    PERFORM custody.softdelete_needs_fresh_snapshots();
    PERFORM set_config(setting, '', true);
    SELECT * INTO STRICT d FROM custody.retention_deletion x WHERE x.id = said[1]::bigint;
    -- An UPDATE locks too little: rows could still be added below.
    EXECUTE format('SELECT count(*), min(x.id) FROM (SELECT %s AS id FROM %s t WHERE t.deletion_id = $1 FOR UPDATE) x',
                   coalesce(custody.softdelete_record_id(root, 't'), 'NULL::text'), custody.audit_relation(root))
       INTO number, first USING d.id;
    IF number = 0 THEN
        DELETE FROM custody.retention_deletion x WHERE x.id = d.id;
        RETURN NULL;
    END IF;
    UPDATE custody.retention_deletion x
       SET roots = number, record_id = CASE WHEN number = 1 THEN coalesce(first, '') ELSE '' END WHERE x.id = d.id;
    PERFORM custody.softdelete_complete(d.id, root, number, d.deleted_at, d.actor);
    RETURN NULL;
END
$function$;

-- The application clears the mark of a row in the bin: it is restored, with all that went along with
-- it.
CREATE FUNCTION custody.softdelete_back()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    root oid := custody.softdelete_root(TG_RELID);
    name text := custody.audit_relation(root);
    d custody.retention_deletion;
    record text;
    answer jsonb;
BEGIN
    EXECUTE format('SELECT %s FROM (SELECT ($1).*) t', custody.softdelete_record_id(root, 't')) INTO record USING NEW;
    SELECT * INTO d FROM custody.retention_deletion x WHERE x.id = NEW.deletion_id;
    -- Another row of the same statement may have brought it back.
    IF d.id IS NULL OR NOT custody.softdelete_has(d.id, name, record) THEN
        RETURN NULL;
    END IF;
    answer := custody.softdelete_restore(
        d.id,
        CASE WHEN d.table_oid = root::bigint AND d.roots = 1 AND d.record_id = record THEN NULL
             ELSE jsonb_build_array(jsonb_build_object('table', name, 'record', record, 'below', true)) END,
        NULL, false, NULL);
    IF NOT (answer -> 'restored')::boolean THEN
        RAISE EXCEPTION 'Deletion % cannot be restored', d.id
            USING ERRCODE = CASE answer -> 'conflicts' -> 0 ->> 'kind' WHEN 'unique' THEN 'unique_violation'
                                 ELSE 'foreign_key_violation' END,
                  DETAIL = custody.softdelete_told(answer -> 'conflicts')::text,
                  HINT = format('custody.restore(%s, ...) takes choices, or parents along.', d.id);
    END IF;
    RETURN NULL;
END
$function$;

-- Which deletion has a row, nobody but the console says.
CREATE FUNCTION custody.softdelete_bin()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RAISE EXCEPTION 'deletion_id of % is written by the console alone', TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege',
              HINT = CASE TG_OP WHEN 'INSERT' THEN 'Leave it out.'
                          ELSE format('SELECT custody.restore(%s)', coalesce(OLD.deletion_id::text, '...')) END;
END
$function$;

-- The triggers.

-- Of one table and its partitions. `leaving`: a parent that is about to lose its soft delete.
--
-- Triggers of rows stand on each partition by itself: one on the partitioned table is copied to a new
-- partition with the rights of whoever makes it, who may not execute our functions.
CREATE FUNCTION custody.softdelete_triggers(root oid, leaving oid DEFAULT NULL)
RETURNS TABLE (relation oid, name text, definition text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    WITH s AS (
        SELECT x.* FROM custody.softdelete_entry(root) x
        WHERE x.id IS NOT NULL AND root IS DISTINCT FROM leaving AND custody.softdelete_has_column(root, 'deletion_id')
    ), keys AS (
        SELECT f.oid, f.conrelid, f.conname::text AS conname, f.confrelid,
               -- In whose partitions rows are that no foreign key binds.
               f.conrelid = root AS whole,
               (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.place) FROM unnest(f.conkey) WITH ORDINALITY AS k (attnum, place)
                JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.attnum) AS columns,
               -- To another row: one that is set to NULL refers to none.
               (SELECT format('(%s) AND %s', string_agg(format('OLD.%1$I IS DISTINCT FROM NEW.%1$I', a.attname), ' OR ' ORDER BY k.place),
                              string_agg(format('NEW.%I IS NOT NULL', a.attname), ' AND ' ORDER BY k.place))
                FROM unnest(f.conkey) WITH ORDINALITY AS k (attnum, place)
                JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.attnum) AS moved
        FROM pg_constraint f
        WHERE f.contype = 'f' AND f.conparentid = 0 AND custody.softdelete_root(f.conrelid) = root
          AND custody.softdelete_root(f.confrelid) IS DISTINCT FROM leaving
          AND EXISTS (SELECT FROM custody.softdelete_entry(f.confrelid) p
                      WHERE p.id IS NOT NULL AND NOT (p.ready_at IS NULL AND p.made ? 'disabling'))
          AND custody.softdelete_has_column(f.confrelid, 'deletion_id')
          -- Comparing could run a cast of a stranger's.
          AND NOT EXISTS (SELECT FROM unnest(f.conkey) AS k (attnum)
                          JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.attnum
                          JOIN pg_type y ON y.oid = a.atttypid WHERE NOT custody.softdelete_trusts(y.typowner))
    ), leaves AS (
        SELECT t.relation, custody.audit_relation(t.relation) AS name, t.relation <> root AS part
        FROM custody.softdelete_tree(root) t WHERE NOT t.partitioned
    ), wanted AS (
        SELECT t.relation, 'custody_softdelete_insert_' AS prefix,
               format('AFTER INSERT ON %s REFERENCING NEW TABLE AS custody_new FOR EACH STATEMENT'
                      ' EXECUTE FUNCTION custody.softdelete_guard(%L, %L, %L, %L)', custody.audit_relation(t.relation),
                      custody.softdelete_guard_query(k.oid, 'custody_new'), k.conname, k.columns,
                      (SELECT c.relname FROM pg_class c WHERE c.oid = k.confrelid)) AS definition
        FROM keys k CROSS JOIN LATERAL custody.softdelete_tree(root) t WHERE k.whole
        UNION ALL
        -- A row that moves to another partition fires no AFTER UPDATE.
        SELECT t.relation, 'custody_softdelete_update_',
               format('%s %s ON %s FOR EACH ROW %s EXECUTE FUNCTION custody.softdelete_guard(%L, %L, %L, %L)',
                      CASE WHEN e.event = 'UPDATE' AND t.relation <> root THEN 'BEFORE' ELSE 'AFTER' END,
                      e.event, custody.audit_relation(t.relation), e.condition,
                      custody.softdelete_guard_query(k.oid, '(SELECT ($1).*)'), k.conname, k.columns,
                      (SELECT c.relname FROM pg_class c WHERE c.oid = k.confrelid))
        FROM keys k
        CROSS JOIN LATERAL custody.softdelete_tree(k.conrelid) t
        CROSS JOIN LATERAL (
            SELECT 'UPDATE' AS event, format('WHEN (%s)', k.moved
                   -- A row that was deleted before there was a deletion becomes active again.
                   || CASE WHEN EXISTS (SELECT FROM s) THEN ' OR (OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NULL'
                                                            ' AND OLD.deletion_id IS NULL)' ELSE '' END) AS condition
            UNION ALL SELECT 'INSERT', '' WHERE NOT k.whole) e
        WHERE NOT t.partitioned
        UNION ALL
        SELECT l.relation, 'custody_softdelete_bin_',
               format('BEFORE UPDATE ON %s FOR EACH ROW WHEN (OLD.deletion_id IS DISTINCT FROM NEW.deletion_id'
                      ' AND current_user <> %L) EXECUTE FUNCTION custody.softdelete_bin()', l.name, current_user)
        FROM s CROSS JOIN leaves l
        UNION ALL
        -- BEFORE would take from COPY its many rows at once. Into a partition a row of the bin may be moved.
        SELECT l.relation, 'custody_softdelete_bin_',
               format('AFTER INSERT ON %s FOR EACH ROW WHEN (NEW.deletion_id IS NOT NULL AND current_user <> %L)'
                      ' EXECUTE FUNCTION custody.softdelete_bin()', l.name, current_user)
        FROM s CROSS JOIN leaves l WHERE NOT l.part
        UNION ALL
        SELECT l.relation, 'custody_softdelete_own_',
               format('BEFORE UPDATE ON %s FOR EACH ROW WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL'
                      ' AND NEW.deletion_id IS NULL) EXECUTE FUNCTION custody.softdelete_own()', l.name)
        FROM s CROSS JOIN leaves l
        UNION ALL
        SELECT t.relation, 'custody_softdelete_done_',
               format('AFTER UPDATE ON %s FOR EACH STATEMENT WHEN (current_setting(%L, true) <> '''')'
                      ' EXECUTE FUNCTION custody.softdelete_own_done()', custody.audit_relation(t.relation), 'custody.own_' || root)
        FROM s CROSS JOIN LATERAL custody.softdelete_tree(root) t
        UNION ALL
        SELECT l.relation, 'custody_softdelete_back_',
               format('AFTER %s ON %s FOR EACH ROW WHEN (%sNEW.deleted_at IS NULL AND NEW.deletion_id IS NOT NULL)'
                      ' EXECUTE FUNCTION custody.softdelete_back()', e.event, l.name, e.condition)
        FROM s CROSS JOIN leaves l
        CROSS JOIN LATERAL (VALUES ('UPDATE', 'OLD.deleted_at IS NOT NULL AND '), ('INSERT', '')) AS e (event, condition)
        WHERE e.event = 'UPDATE' OR l.part
        UNION ALL
        SELECT c.relation, c.prefix, c.definition FROM s
        CROSS JOIN LATERAL custody.softdelete_capture_triggers(root) c WHERE s.capture_deletes
    )
    SELECT w.relation, w.prefix || left(md5(w.definition), 8), w.definition FROM wanted w
$function$;

CREATE FUNCTION custody.softdelete_triggers_make(root oid, leaving oid DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT g.tgname, custody.audit_relation(g.tgrelid) AS name
        FROM custody.softdelete_tree(root) t JOIN pg_trigger g ON g.tgrelid = t.relation
        WHERE lower(g.tgname::text) LIKE 'custody\_softdelete\_%' AND g.tgparentid = 0
          AND NOT EXISTS (SELECT FROM custody.softdelete_triggers(root, leaving) w
                          WHERE w.relation = g.tgrelid AND w.name = g.tgname)
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', made.tgname, made.name);
    END LOOP;
    FOR made IN
        SELECT w.* FROM custody.softdelete_triggers(root, leaving) w
        WHERE NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = w.relation AND g.tgname = w.name)
    LOOP
        EXECUTE format('CREATE TRIGGER %I %s', made.name, made.definition);
    END LOOP;
END
$function$;

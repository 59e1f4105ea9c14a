-- Histories, triggers, baselines, and what follows a table whose columns change.

-- Writes the images of the rows of `relation` (the table or a leaf of it) for which `predicate`, SQL
-- over the alias o, holds, and which have none since the baseline began. A row changed meanwhile
-- needs none of us: its own change wrote its old image. Returns how many were written.
CREATE FUNCTION custody.audit_baseline(tracked bigint, relation oid, predicate text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres'
SET timezone = 'UTC'
SET bytea_output = 'hex'
SET extra_float_digits = 1
SET lc_monetary = 'C'
AS $function$
DECLARE
    statements text[] := custody.audit_statements(tracked, 'baseline', false, true);
    written bigint := 0;
BEGIN
    IF array_length(statements, 1) = 1 THEN
        EXECUTE replace(statements[1], ' FROM ONLY %s o', ' FROM ONLY ' || custody.audit_relation(relation) || ' o')
                || CASE WHEN statements[1] LIKE '% WHERE NOT EXISTS %' THEN ' AND ' ELSE ' WHERE ' END || predicate
          USING nextval('custody.audit_statement_seq'), txid_current(), clock_timestamp(),
                session_user::text, inet_client_addr(), NULL::bigint, NULL::bigint;
        GET DIAGNOSTICS written = ROW_COUNT;
    END IF;
    RETURN written;
END
$function$;

-- Makes the history's column for each column that has none for its type yet: the rows of the
-- registry, which the caller's ALTER TABLE follows. Returns the new ones.
CREATE FUNCTION custody.audit_history_columns_add(tracked bigint)
RETURNS TABLE (name text, type text, attnum smallint)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO custody.auditing_historycolumn AS h (tracked_id, attnum, source_type, name, type)
    SELECT tracked, c.attnum, custody.audit_type_name(c.type),
           -- A cast to name cuts by bytes, between letters.
           (c.attnum || CASE WHEN earlier.number > 0 THEN 'r' || earlier.number + 1 ELSE '' END
            || '_' || c.name)::name::text,
           custody.audit_type_name(custody.audit_history_type(c.type))
    FROM custody.audit_columns(tracked) c
    CROSS JOIN LATERAL (SELECT count(*) AS number FROM custody.auditing_historycolumn e
                        WHERE e.tracked_id = tracked AND e.attnum = c.attnum) earlier
    WHERE c.history_name IS NULL AND c.handling = 'captured' AND c.generated <> 'v'
    ORDER BY c.attnum
    RETURNING h.name::text, h.type, h.attnum;
END;

-- Whether a table of the tree lacks a trigger, or has one that is off.
CREATE FUNCTION custody.audit_triggers_missing(tracked bigint)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT EXISTS (
        SELECT
        FROM (SELECT t.table_oid::oid AS relid UNION SELECT x.relid FROM pg_partition_tree(t.table_oid::oid) x) p
        JOIN pg_class c ON c.oid = p.relid AND c.relkind IN ('r', 'p')
        WHERE (SELECT count(*) FROM pg_trigger g
               WHERE g.tgrelid = c.oid AND g.tgenabled NOT IN ('D', 'R')
                 AND g.tgname IN ('custody_audit_insert', 'custody_audit_update', 'custody_audit_delete',
                                  'custody_audit_truncate', 'custody_audit_row'))
              < CASE WHEN t.row_level THEN 2 ELSE 4 END
    )
    FROM custody.auditing_trackedtable t WHERE t.id = tracked
);

-- From here on a row without its image gets the old one with its first change, and a baseline run
-- brings the others. With `again` every row has to have a new image: changes were made that no
-- trigger saw. Else only those that have no version at all. A row that still has none was there
-- since the first of the baselines that this one goes on with. The functions are made anew by the
-- caller.
CREATE FUNCTION custody.audit_baseline_begin(tracked bigint, again boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    place bigint := nextval('custody.audit_seq');
    now_at timestamptz := clock_timestamp();
BEGIN
    UPDATE custody.auditing_trackedtable
       SET baseline_since = CASE WHEN again THEN place
                                 WHEN baseline_seq IS NULL THEN 0 ELSE baseline_since END,
           baseline_first_seq = CASE WHEN baseline_seq IS NULL THEN place ELSE COALESCE(baseline_first_seq, baseline_seq) END,
           baseline_first_at = CASE WHEN baseline_seq IS NULL THEN now_at ELSE COALESCE(baseline_first_at, baseline_at) END,
           baseline_seq = place, baseline_at = now_at
     WHERE id = tracked;
END
$function$;

-- Notes the columns of a table as they are now. A new column with values, or a new type, changed
-- rows that no trigger saw: from here on a row without a version gets its old image first, until
-- a baseline has come to all.
CREATE FUNCTION custody.audit_columns_changed(tracked bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    t custody.auditing_trackedtable;
    told jsonb;
    rewritten boolean;
BEGIN
    SELECT * INTO STRICT t FROM custody.auditing_trackedtable x WHERE x.id = tracked;
    WITH live AS (
        SELECT c.*, format_type(c.type, a.atttypmod) AS title,
               a.atthasmissing OR a.atthasdef OR a.attidentity <> '' AS filled
        FROM custody.audit_columns(tracked) c
        JOIN pg_attribute a ON a.attrelid = t.table_oid::oid AND a.attnum = c.attnum
    ), known AS (
        SELECT * FROM custody.auditing_trackedcolumn k WHERE k.tracked_id = tracked AND k.dropped_at IS NULL
    )
    SELECT jsonb_strip_nulls(jsonb_build_object(
               'added', jsonb_agg(l.name) FILTER (WHERE k.attnum IS NULL),
               'dropped', jsonb_agg(k.name) FILTER (WHERE l.attnum IS NULL),
               'renamed', jsonb_agg(jsonb_build_array(k.name, l.name)) FILTER (WHERE k.name <> l.name),
               'retyped', jsonb_agg(jsonb_build_array(l.name, k.type, l.title)) FILTER (WHERE k.type <> l.title))),
           COALESCE(bool_or(CASE WHEN k.attnum IS NULL THEN l.filled ELSE k.type <> l.title END)
                    FILTER (WHERE l.attnum IS NOT NULL AND l.handling = 'captured' AND l.generated <> 'v'), false)
      INTO told, rewritten
      FROM live l FULL JOIN known k ON k.attnum = l.attnum;
    IF told = '{}' THEN
        RETURN;
    END IF;
    INSERT INTO custody.auditing_trackedcolumn AS k
           (tracked_id, attnum, name, type, handling, significant, generated)
    SELECT tracked, c.attnum, c.name, format_type(c.type, a.atttypmod), c.handling, c.significant,
           CASE c.generated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' ELSE '' END
      FROM custody.audit_columns(tracked) c
      JOIN pg_attribute a ON a.attrelid = t.table_oid::oid AND a.attnum = c.attnum
        ON CONFLICT (tracked_id, attnum) DO UPDATE
       SET name = excluded.name, type = excluded.type, generated = excluded.generated
     WHERE (k.name, k.type, k.generated) IS DISTINCT FROM (excluded.name, excluded.type, excluded.generated);
    UPDATE custody.auditing_trackedcolumn k SET dropped_at = clock_timestamp()
     WHERE k.tracked_id = tracked AND k.dropped_at IS NULL
       AND NOT EXISTS (SELECT FROM custody.audit_columns(tracked) c WHERE c.attnum = k.attnum);
    -- What an image of the time before would not have any more, an older version has.
    IF rewritten OR t.baseline_seq IS NOT NULL AND told ? 'dropped' THEN
        PERFORM custody.audit_baseline_begin(tracked, true);
    END IF;
    INSERT INTO custody.auditing_auditevent (kind, tracked_id, at, seq, actor, reason, certificate, detail)
    VALUES ('ddl', tracked, clock_timestamp(), nextval('custody.audit_seq'), 'db:' || session_user, '', '', told);
END
$function$;

-- The triggers of a tracked table, at every level of its partitions, where they are missing or off.
-- Returns how many there were. ALWAYS, also in a session that applies a replica's changes, takes the
-- table's owner. A table that went on without them (not `at_once`), or came with rows, gets a baseline.
CREATE FUNCTION custody.audit_triggers_make(tracked bigint, at_once boolean DEFAULT false)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    t custody.auditing_trackedtable;
    part record;
    wanted record;
    made integer;
    mended integer := 0;
    filled boolean;
BEGIN
    SELECT * INTO STRICT t FROM custody.auditing_trackedtable x WHERE x.id = tracked;
    FOR part IN
        SELECT c.oid, c.relowner, c.relkind, custody.audit_relation(c.oid) AS name,
               EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname LIKE 'custody\_audit\_%') AS had
        FROM (SELECT t.table_oid::oid AS relid, 0 AS level
              UNION SELECT x.relid, x.level FROM pg_partition_tree(t.table_oid::oid) x) p
        JOIN pg_class c ON c.oid = p.relid AND c.relkind IN ('r', 'p')
        ORDER BY p.level
    LOOP
        made := 0;
        FOR wanted IN
            SELECT w.* FROM (VALUES
                ('custody_audit_insert', 'AFTER INSERT', 'REFERENCING NEW TABLE AS custody_new FOR EACH STATEMENT', NOT t.row_level),
                ('custody_audit_update', 'AFTER UPDATE', 'REFERENCING OLD TABLE AS custody_old NEW TABLE AS custody_new FOR EACH STATEMENT', NOT t.row_level),
                ('custody_audit_delete', 'AFTER DELETE', 'REFERENCING OLD TABLE AS custody_old FOR EACH STATEMENT', NOT t.row_level),
                ('custody_audit_truncate', 'BEFORE TRUNCATE', 'FOR EACH STATEMENT', true),
                ('custody_audit_row', 'AFTER INSERT OR UPDATE OR DELETE', 'FOR EACH ROW', t.row_level)
            ) w (name, event, form, applies)
            WHERE w.applies AND NOT EXISTS (
                SELECT FROM pg_trigger g WHERE g.tgrelid = part.oid AND g.tgname = w.name)
        LOOP
            EXECUTE format('CREATE TRIGGER %I %s ON %s %s EXECUTE FUNCTION history.%I()',
                           wanted.name, wanted.event, part.name, wanted.form,
                           custody.audit_function_name(t.history_name));
            made := made + 1;
        END LOOP;
        FOR wanted IN
            SELECT g.tgname AS name, g.tgenabled IN ('D', 'R') AS off FROM pg_trigger g
            WHERE g.tgrelid = part.oid AND g.tgname LIKE 'custody\_audit\_%' AND g.tgenabled <> 'A'
              AND pg_has_role(current_user, part.relowner, 'USAGE')
        LOOP
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', part.name, wanted.name);
            made := made + wanted.off::integer;
        END LOOP;
        IF made > 0 AND t.audited_once THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM ONLY %s)', part.name) INTO filled;
            -- A partition that is new to us brings rows; anything else went on without us.
            IF part.had OR part.oid = t.table_oid::oid THEN
                IF NOT at_once THEN
                    PERFORM custody.audit_baseline_begin(tracked, true);
                END IF;
            ELSIF filled THEN
                PERFORM custody.audit_baseline_begin(tracked, false);
            END IF;
        END IF;
        mended := mended + made;
    END LOOP;
    RETURN mended;
END
$function$;

-- The history of a tracked table, with its partitions: the first from the beginning of time, the
-- last to its end, so that no change can be without a place, 24 months ahead. No default partition:
-- ATTACH would have to read it.
CREATE FUNCTION custody.audit_history_make(tracked bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    t custody.auditing_trackedtable;
    columns text;
    keys text;
    month timestamptz := date_trunc('month', now(), 'UTC');
BEGIN
    SELECT * INTO STRICT t FROM custody.auditing_trackedtable x WHERE x.id = tracked;
    SELECT string_agg(format(', %I %s', h.name, h.type), '' ORDER BY h.attnum, h.id) INTO columns
      FROM custody.auditing_historycolumn h WHERE h.tracked_id = tracked;
    SELECT string_agg(format('%I, ', h.name), '' ORDER BY c.key_position) INTO keys
      FROM custody.auditing_historycolumn h
      JOIN custody.auditing_trackedcolumn c ON c.tracked_id = h.tracked_id AND c.attnum = h.attnum
     WHERE h.tracked_id = tracked AND c.key_position IS NOT NULL;
    EXECUTE format(
        'CREATE TABLE history.%I (seq bigint NOT NULL, statement bigint NOT NULL, xid bigint NOT NULL, '
        'op "char" NOT NULL, at timestamptz NOT NULL, layout bigint NOT NULL, changed varbit, '
        'db_user text NOT NULL, client inet, context bigint, rest jsonb%s) PARTITION BY RANGE (at)',
        t.history_name, columns);
    EXECUTE format('CREATE INDEX ON history.%I (%sseq)', t.history_name, keys);
    EXECUTE format('CREATE INDEX ON history.%I USING brin (seq, xid, statement, at) WITH (pages_per_range = 32)',
                   t.history_name);
    FOR ahead IN 0..24 LOOP
        EXECUTE format('CREATE TABLE history.%I PARTITION OF history.%I FOR VALUES FROM (%s) TO (%s)',
            custody.audit_partition_name(t.history_name, month + ahead * interval '1 month'), t.history_name,
            CASE WHEN ahead = 0 THEN 'MINVALUE' ELSE format('%L', (month + ahead * interval '1 month')) END,
            CASE WHEN ahead = 24 THEN 'MAXVALUE' ELSE format('%L', (month + (ahead + 1) * interval '1 month')) END);
    END LOOP;
END
$function$;

CREATE FUNCTION custody.audit_partition_name(history_name text, month timestamptz)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
RETURN history_name || to_char(month AT TIME ZONE 'UTC', '"_p"YYYYMM');

-- What runs at the end of each command that may change a table, where the role may make event
-- triggers: functions for the new columns, triggers for new partitions. Its own errors never fail
-- the command; a function that could not be made looks at the columns itself from then on.
CREATE FUNCTION custody.audit_ddl()
RETURNS event_trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    changed record;
BEGIN
    FOR changed IN
        SELECT t.id, t.table_oid::oid AS relation, t.fingerprint, t.guarded
        FROM custody.auditing_trackedtable t
        JOIN pg_class c ON c.oid = t.table_oid::oid
        WHERE t.untracked_at IS NULL 
          -- A command on one table can only have changed that one, or what inherits from it.
          AND (tg_tag NOT IN ('ALTER TABLE', 'CREATE TABLE', 'CREATE INDEX') OR t.row_level
               OR t.table_oid IN (SELECT COALESCE(pg_partition_root(d.objid), d.objid)
                                  FROM pg_event_trigger_ddl_commands() d WHERE d.classid = 'pg_class'::regclass)
               OR t.table_oid IN (SELECT COALESCE(pg_partition_root(i.indrelid), i.indrelid)
                                  FROM pg_event_trigger_ddl_commands() d JOIN pg_index i ON i.indexrelid = d.objid))
          AND (t.fingerprint <> custody.audit_print(t.id) OR custody.audit_triggers_missing(t.id))
    LOOP
        BEGIN
            PERFORM custody.audit_columns_changed(changed.id);
            PERFORM custody.audit_triggers_make(changed.id, true);
            PERFORM custody.capture_make(changed.id);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'Custody could not follow the change of %: %', changed.relation::regclass, SQLERRM;
            BEGIN
                UPDATE custody.auditing_trackedtable SET guarded = true WHERE id = changed.id;
                PERFORM custody.capture_make(changed.id);
            EXCEPTION WHEN OTHERS THEN
                RAISE WARNING 'Changes of % may fail until manage.py audit_sync: %', changed.relation::regclass, SQLERRM;
            END;
        END;
    END LOOP;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'Custody could not follow the change: %', SQLERRM;
END
$function$;

-- Whoever may call these by hand could write to the history. What reads it is granted elsewhere.
DO $block$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT p.oid::regprocedure AS signature FROM pg_proc p
        WHERE p.pronamespace = 'custody'::regnamespace
          AND p.proname IN ('audit_baseline', 'audit_baseline_begin', 'audit_columns', 'audit_columns_changed', 'audit_ddl',
              'audit_differs', 'audit_equality', 'audit_same', 'audit_fingerprint',
              'audit_function_name', 'audit_history_columns_add', 'audit_history_make',
              'audit_history_type', 'audit_insert', 'audit_key_holds', 'audit_layout',
              'audit_partition_name', 'audit_print', 'audit_record_id',
              'audit_relation', 'audit_reserve', 'audit_reserved', 'audit_row_statement',
              'audit_same_key', 'audit_statements', 'audit_print_as', 'audit_triggers_make',
              'audit_triggers_missing', 'audit_type_name', 'audit_misread', 'audit_unpaired', 'capture_make')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', made.signature);
    END LOOP;
END
$block$;

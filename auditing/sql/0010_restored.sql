-- A database that was dumped and restored: its tables have other oids, and its cluster counts
-- transactions from another number. `auditing.services.cluster_adopt` sees to both.

ALTER TABLE custody.auditing_numbering
    ADD COLUMN cluster text NOT NULL DEFAULT '',
    ADD COLUMN before bigint NOT NULL DEFAULT 0,
    ADD COLUMN pending bigint[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN custody.auditing_numbering.cluster IS 'Where the numbers are valid: see audit_cluster()';
COMMENT ON COLUMN custody.auditing_numbering.before IS 'What xid_offset was before the last restore';
COMMENT ON COLUMN custody.auditing_numbering.pending IS 'Tracked tables that are still to be found again';

-- The cluster, the database, and two tables whose oids a restore changes and pg_upgrade does not.
CREATE FUNCTION custody.audit_cluster()
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RETURN concat_ws(':', (SELECT c.system_identifier FROM pg_control_system() c),
        (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()),
        'custody.auditing_numbering'::regclass::oid, 'custody.auditing_trackedtable'::regclass::oid);
END
$function$;

UPDATE custody.auditing_numbering SET cluster = custody.audit_cluster();

-- The table that the capture function of a tracked table stands on; where none does, that of its
-- name. NULL: there is none.
CREATE FUNCTION custody.audit_table_of(tracked bigint)
RETURNS oid
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT COALESCE(
        (SELECT min(c.oid)
         FROM pg_trigger g
         JOIN pg_proc p ON p.oid = g.tgfoid AND p.pronamespace = 'history'::regnamespace
          AND p.proname = custody.audit_function_name(t.history_name)::name
         JOIN pg_class c ON c.oid = g.tgrelid AND NOT c.relispartition
         HAVING count(DISTINCT c.oid) = 1),
        (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = t.schema_name AND c.relname = t.table_name AND c.relkind IN ('r', 'p')))
    FROM custody.auditing_trackedtable t WHERE t.id = tracked
);

-- As before. A database that was just restored knows its tables by their old oids, until the console
-- has found them again: what looks at a table by its oid must not fail a write, or look at another.
CREATE OR REPLACE FUNCTION custody.audit_statements(tracked bigint, kind text, overtaken boolean, dynamic boolean)
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF dynamic AND NOT EXISTS (
        SELECT FROM custody.auditing_numbering n
        WHERE n.cluster LIKE '%:' || 'custody.auditing_numbering'::regclass::oid || ':%') THEN
        BEGIN
            UPDATE custody.auditing_trackedtable t SET table_oid = custody.audit_table_of(tracked)
             WHERE t.id = tracked AND t.table_oid <> custody.audit_table_of(tracked);
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
    END IF;
    RETURN CASE WHEN kind = 'purge' THEN custody.audit_purge_statements(tracked)
                ELSE custody.audit_version_statements(tracked, kind, overtaken, dynamic) END;
END
$function$;

-- The capture writes the cluster's own number, which costs least. Where the log counts on from
-- another one, that is added.
ALTER FUNCTION custody.capture_make(bigint) RENAME TO capture_write;

CREATE FUNCTION custody.capture_make(tracked bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    added bigint := (SELECT n.xid_offset FROM custody.auditing_numbering n);
    history_name text := (SELECT t.history_name FROM custody.auditing_trackedtable t WHERE t.id = tracked);
BEGIN
    PERFORM custody.capture_write(tracked);
    IF added <> 0 THEN
        -- Both calls follow the statement's number, which no name of a column or table does.
        EXECUTE replace(
            pg_get_functiondef(format('history.%I()', custody.audit_function_name(history_name))::regprocedure),
            'v_statement, pg_catalog.txid_current(), ',
            format('v_statement, (pg_catalog.txid_current() OPERATOR(pg_catalog.+) %s::pg_catalog.int8), ', added));
    END IF;
END
$function$;

-- As before, with the number of the log.
CREATE OR REPLACE FUNCTION custody.audit_baseline(tracked bigint, relation oid, predicate text)
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
          USING nextval('custody.audit_statement_seq'), custody.audit_xid(), clock_timestamp(),
                session_user::text, inet_client_addr(), NULL::bigint, NULL::bigint;
        GET DIAGNOSTICS written = ROW_COUNT;
    END IF;
    RETURN written;
END
$function$;

-- As before, with the number of the log.
CREATE OR REPLACE FUNCTION custody.audit_context(context pg_catalog.text)
RETURNS pg_catalog.int8
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    known CONSTANT text[] := ARRAY['actor', 'user_id', 'user_email', 'impersonator', 'reason',
                                   'ip_address', 'user_agent', 'request_id', 'extra'];
    said jsonb := custody.audit_context_read(context);
    -- Keys that we do not know are kept too.
    extra jsonb := said - known;
    claimed boolean := session_user <> current_user AND (
        NOT pg_has_role(session_user, current_user, 'MEMBER')
        OR (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = session_user)
    );
    -- One line each.
    actor text := left(regexp_replace(said ->> 'actor', '[[:cntrl:]]+', ' ', 'g'), 300);
    user_id text := left(regexp_replace(said ->> 'user_id', '[[:cntrl:]]+', ' ', 'g'), 300);
    address inet;
    id bigint;
BEGIN
    IF said ? 'extra' AND said -> 'extra' <> 'null' THEN
        extra := extra || CASE jsonb_typeof(said -> 'extra')
            WHEN 'object' THEN said -> 'extra'
            ELSE jsonb_build_object('extra', said -> 'extra')
        END;
    END IF;
    IF said ->> 'ip_address' <> '' THEN
        BEGIN
            address := host((said ->> 'ip_address')::inet)::inet;
        EXCEPTION WHEN OTHERS THEN
            extra := extra || jsonb_build_object('ip_address', left(said ->> 'ip_address', 200));
        END;
    END IF;
    IF length(extra::text) > 10000 THEN
        extra := jsonb_build_object('cut', left(extra::text, 10000));
    END IF;
    IF coalesce(trim(actor), '') = '' THEN
        actor := coalesce('app:' || nullif(user_id, ''), 'db:' || session_user);
    ELSIF claimed AND NOT starts_with(actor, 'app:') THEN
        actor := 'app:' || actor;
    END IF;
    INSERT INTO custody.auditing_changecontext AS made (
        xid, at, actor, user_id, user_email, impersonator, reason, ip_address, user_agent,
        request_id, extra, claimed, "session_user", client_addr
    ) VALUES (
        pg_current_xact_id()::text::bigint + (SELECT n.xid_offset FROM custody.auditing_numbering n),
        clock_timestamp(),
        actor,
        coalesce(user_id, ''),
        coalesce(left(regexp_replace(said ->> 'user_email', '[[:cntrl:]]+', ' ', 'g'), 300), ''),
        coalesce(left(regexp_replace(said ->> 'impersonator', '[[:cntrl:]]+', ' ', 'g'), 300), ''),
        coalesce(left(said ->> 'reason', 2000), ''),
        address,
        coalesce(left(regexp_replace(said ->> 'user_agent', '[[:cntrl:]]+', ' ', 'g'), 1000), ''),
        coalesce(left(regexp_replace(said ->> 'request_id', '[[:cntrl:]]+', ' ', 'g'), 200), ''),
        extra,
        claimed,
        session_user,
        inet_client_addr()
    ) RETURNING made.id INTO id;
    RETURN id;
END
$function$;

REVOKE ALL ON FUNCTION custody.audit_cluster(), custody.audit_table_of(bigint), custody.capture_make(bigint)
FROM PUBLIC;

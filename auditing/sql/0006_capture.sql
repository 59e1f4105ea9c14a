-- The capture function of a table, written for its columns.
--
-- Invariants: a committed change of an audited table has its version and no version is without its
-- change, since both are in one transaction; an application's write never fails because of a
-- change of columns.

-- Writes (or replaces) the capture function of a tracked table for its columns as they are now, and
-- notes what it was made for. It touches neither the audited table nor the history.
CREATE FUNCTION custody.capture_make(tracked bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    t custody.auditing_trackedtable;
    print bigint;
    settings text;
    body text;
    tag text := 'capture';
BEGIN
    SELECT * INTO STRICT t FROM custody.auditing_trackedtable x WHERE x.id = tracked;
    print := custody.audit_fingerprint(t.table_oid::oid);
    -- What is kept as text must read back under any settings, and always be the same text.
    SELECT CASE WHEN count(*) > 0 THEN
               'SET datestyle = ''ISO, YMD'' SET intervalstyle = ''postgres'' SET timezone = ''UTC'' '
               'SET bytea_output = ''hex'' SET extra_float_digits = 1 SET lc_monetary = ''C''' ELSE '' END
      INTO settings
      FROM custody.audit_columns(tracked) c JOIN pg_type y ON y.oid = c.type
     WHERE c.handling = 'captured'
       AND (c.history_name IS NULL AND c.generated <> 'v'
            OR c.history_type = 'text'::regtype AND y.typcategory IN ('A', 'C', 'R'));

    body := concat_ws(E'\n',
    '#variable_conflict use_variable',
    -- PL/pgSQL makes every expression ready again in every transaction, which costs a single-row
    -- statement half a microsecond each, initialisers too: only what is always needed stands here.
    'DECLARE',
    '    v_statement CONSTANT pg_catalog.int8 := ' || CASE WHEN t.row_level
        THEN format('custody.audit_row_statement(%s, TG_OP);', t.table_oid)
        ELSE 'pg_catalog.nextval(''custody.audit_statement_seq''::pg_catalog.regclass);' END,
    '    v_at CONSTANT pg_catalog.timestamptz := pg_catalog.clock_timestamp();',
    '    v_user CONSTANT pg_catalog.text := session_user;',
    '    v_client CONSTANT pg_catalog.inet := pg_catalog.inet_client_addr();',
    '    v_context pg_catalog.int8;',
    '    v_said pg_catalog.text;',
    '    v_flags pg_catalog.text;',
    '    v_reserved pg_catalog.int8;',
    '    v_overtaken pg_catalog.bool;',
    '    v_changed pg_catalog.bool;',
    '    v_any pg_catalog.bool;',
    '    v_kind pg_catalog.text;',
    '    v_text pg_catalog.text;',
    '    v_printed pg_catalog.text[];',
    'BEGIN',
    CASE WHEN t.reason_required THEN
    '    IF true THEN' ELSE
    '    IF pg_catalog.concat(pg_catalog.current_setting(''custody.context'', true), pg_catalog.current_setting(''custody.context_id'', true),' || E'\n'
    '                         pg_catalog.current_setting(''custody.flags'', true), pg_catalog.current_setting(''custody.purging'', true))' || E'\n'
    '       OPERATOR(pg_catalog.<>) '''' OR pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.>) 1 THEN' END,
    '        v_context := NULLIF(pg_catalog.current_setting(''custody.context_id'', true), '''')::pg_catalog.int8;',
    '        v_said := pg_catalog.current_setting(''custody.context'', true);',
    '        v_flags := pg_catalog.current_setting(''custody.flags'', true);',
    -- A purge by the console: the history of what goes, goes.
    '        IF TG_OP OPERATOR(pg_catalog.=) ''DELETE'' AND pg_catalog.current_setting(''custody.purging'', true) OPERATOR(pg_catalog.<>) '''' THEN',
    format(
    '            IF pg_catalog.strpos(pg_catalog.current_setting(''custody.purging'', true), '' %s '') OPERATOR(pg_catalog.>) 0', t.table_oid),
    '               AND pg_catalog.pg_has_role(session_user, current_user, ''MEMBER'') THEN',
    '                FOREACH v_text IN ARRAY custody.audit_statements(' || tracked || ', ''purge'', false, true) LOOP',
    '                    EXECUTE v_text USING v_statement, pg_catalog.txid_current(), v_at, v_user, v_client, v_context, v_reserved'
        || CASE WHEN t.row_level THEN ', OLD, NEW' ELSE '' END || ';',
    '                END LOOP;',
    '                RETURN NULL;',
    '            END IF;',
    '        END IF;',
    CASE WHEN t.reason_required THEN
    -- Also where a table that wants none was changed before.
    '        IF true THEN' ELSE
    '        IF v_context IS NULL AND v_said OPERATOR(pg_catalog.<>) '''' THEN' END,
    '            v_any := true;',
    CASE WHEN t.row_level THEN '' ELSE
    '            IF TG_OP OPERATOR(pg_catalog.=) ''DELETE'' THEN' || E'\n'
    '                v_any := EXISTS (SELECT FROM custody_old);' || E'\n'
    '            ELSIF TG_OP OPERATOR(pg_catalog.<>) ''TRUNCATE'' THEN' || E'\n'
    '                v_any := EXISTS (SELECT FROM custody_new);' || E'\n'
    '            END IF;' END,
    CASE WHEN t.reason_required THEN
    '            IF v_any AND custody.audit_reason_missing(v_said) THEN' || E'\n'
    || format('                RAISE EXCEPTION %L', 'Changes of ' || replace(custody.audit_relation(t.table_oid::oid), '%', '%%') || ' need a reason') || E'\n'
    '                    USING ERRCODE = ''insufficient_privilege'', HINT = ''In the same transaction, first: SELECT custody.set_context(reason => ...)'';' || E'\n'
    '            END IF;' ELSE '' END,
    '            IF v_any AND v_context IS NULL AND v_said OPERATOR(pg_catalog.<>) '''' THEN',
    '                v_context := custody.audit_context(v_said);',
    '                PERFORM pg_catalog.set_config(''custody.context_id'', v_context::pg_catalog.text, true);',
    '            END IF;',
    '        END IF;',
    '        IF v_flags OPERATOR(pg_catalog.<>) '''' THEN',
    format(
    '            v_reserved := custody.audit_reserved(v_flags, %s);', t.table_oid),
    '            v_overtaken := v_reserved IS NOT NULL;',
    '        END IF;',
    '        IF pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.>) 1 THEN',
    format(
    '            PERFORM custody.audit_reserve(%s);', t.table_oid),
    '        END IF;',
    '    END IF;',
    CASE WHEN t.guarded THEN format(
    '    v_changed := (SELECT pg_catalog.bit_xor(pg_catalog.hash_record_extended(ROW(a.attname, a.atttypid), a.attnum))' || E'\n'
    '        FROM pg_catalog.pg_attribute a' || E'\n'
    '        WHERE a.attrelid OPERATOR(pg_catalog.=) %s::pg_catalog.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped)' || E'\n'
    '        OPERATOR(pg_catalog.<>) %s::pg_catalog.int8;', t.table_oid, print) ELSE '' END,
    '    <<written>>',
    '    LOOP',
    -- A truncation, and whatever is not as it was when this was written, is for the last branch.
    '    IF TG_OP OPERATOR(pg_catalog.=) ''INSERT'' AND v_overtaken IS NOT TRUE AND v_changed IS NOT TRUE THEN',
    '        ' || array_to_string(custody.audit_statements(tracked, 'insert', false, false), E';\n        ') || ';',
    '        RETURN NULL;',
    '    ELSIF TG_OP OPERATOR(pg_catalog.=) ''UPDATE'' AND v_overtaken IS NOT TRUE AND v_changed IS NOT TRUE THEN',
    '        ' || array_to_string(custody.audit_statements(tracked, CASE WHEN t.row_level THEN 'rekeyed' ELSE 'update' END, false, false), E';\n        ') || ';',
    '    ELSIF TG_OP OPERATOR(pg_catalog.=) ''DELETE'' AND v_overtaken IS NOT TRUE AND v_changed IS NOT TRUE THEN',
    '        ' || array_to_string(custody.audit_statements(tracked, 'delete', false, false), E';\n        ') || ';',
    '        RETURN NULL;',
    '    ELSE',
    '        v_kind := COALESCE(v_kind, ' || CASE WHEN t.row_level
        THEN 'CASE WHEN TG_OP OPERATOR(pg_catalog.=) ''UPDATE'' THEN ''rekeyed'' ELSE pg_catalog.lower(TG_OP) END'
        ELSE 'pg_catalog.lower(TG_OP)' END || ');',
    CASE WHEN t.guarded THEN
    '        IF v_changed THEN' || E'\n'
    '            v_printed := custody.audit_print_as();' || E'\n'
    '        END IF;' ELSE '' END,
    '        FOREACH v_text IN ARRAY custody.audit_statements(' || tracked || ', v_kind, COALESCE(v_overtaken, false), true) LOOP',
    '            IF TG_OP OPERATOR(pg_catalog.=) ''TRUNCATE'' THEN',
    '                v_text := pg_catalog.replace(v_text, '' FROM ONLY %s o'', '' FROM ONLY '' OPERATOR(pg_catalog.||) custody.audit_relation(TG_RELID) OPERATOR(pg_catalog.||) '' o'');',
    '            END IF;',
    '            EXECUTE v_text USING v_statement, pg_catalog.txid_current(), v_at, v_user, v_client, v_context, v_reserved'
        || CASE WHEN t.row_level THEN ', OLD, NEW' ELSE '' END || ';',
    '        END LOOP;',
    CASE WHEN t.guarded THEN
    '        IF v_printed IS NOT NULL THEN' || E'\n'
    '            PERFORM custody.audit_print_as(v_printed);' || E'\n'
    '            v_printed := NULL;' || E'\n'
    '        END IF;' ELSE '' END,
    '    END IF;',
    -- Keys changed: what was written for rows without their other is taken back, and written anew
    -- as pairs.
    '    EXIT written WHEN TG_OP OPERATOR(pg_catalog.<>) ''UPDATE''',
    '        OR (pg_catalog.current_setting(''custody.unpaired'', true) OPERATOR(pg_catalog.=) ''1'') IS NOT TRUE;',
    '    PERFORM pg_catalog.set_config(''custody.unpaired'', '''', true);',
    format(
    '    DELETE FROM history.%I h WHERE h.statement OPERATOR(pg_catalog.=) v_statement'
    ' AND h.at OPERATOR(pg_catalog.=) v_at AND h.op OPERATOR(pg_catalog.=) ''U'';', t.history_name),
    '    v_kind := ''rekeyed'';',
    '    v_changed := true;',
    CASE WHEN EXISTS (SELECT FROM pg_class c WHERE c.oid = t.table_oid::oid AND c.relkind = 'p') THEN format(
    '    EXECUTE custody.audit_misread(%s) INTO v_any;' || E'\n'
    '    IF v_any AND TG_RELID OPERATOR(pg_catalog.=) %s::pg_catalog.oid THEN' || E'\n'
    '        v_kind := ''misread'';' || E'\n'
    '    END IF;', tracked, t.table_oid) ELSE '' END,
    '    END LOOP;',
    '    RETURN NULL;',
    'END');
    WHILE strpos(body, '$' || tag || '$') > 0 LOOP
        tag := tag || '_';
    END LOOP;
    EXECUTE format('CREATE OR REPLACE FUNCTION history.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER %s AS $%s$%s$%s$',
                   custody.audit_function_name(t.history_name), settings, tag, E'\n' || body || E'\n', tag);
    EXECUTE format('REVOKE ALL ON FUNCTION history.%I() FROM PUBLIC', custody.audit_function_name(t.history_name));
    UPDATE custody.auditing_trackedtable SET fingerprint = custody.audit_print(tracked) WHERE id = tracked;
END
$function$;

CREATE FUNCTION custody.audit_function_name(history_name text)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
-- Cut by bytes, as PostgreSQL would; what history is called is never as long.
RETURN history_name || '_capture';

-- Flags of a transaction, in the setting custody.flags: entries that end with a semicolon.
--   n<table>:<number>:<moment>      changes were made from within a trigger since <moment>, the start
--                                   of the client's statement; <number> was reserved before them
CREATE FUNCTION custody.audit_reserved(flags text, relation oid)
RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN substring(flags FROM 'n' || relation || ':(\d+):' || extract(epoch FROM statement_timestamp()) || ';')::bigint;

CREATE FUNCTION custody.audit_reserve(relation oid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    flags text := COALESCE(current_setting('custody.flags', true), '');
BEGIN
    IF custody.audit_reserved(flags, relation) IS NULL THEN
        PERFORM set_config('custody.flags',
            regexp_replace(flags, 'n' || relation || ':[^;]*;', '') || 'n' || relation || ':'
            || nextval('custody.audit_seq') || ':' || extract(epoch FROM statement_timestamp()) || ';', true);
    END IF;
END
$function$;

-- Called for a row of an UPDATE that finds no other with its key: notes that keys changed.
CREATE FUNCTION custody.audit_unpaired()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    PERFORM set_config('custody.unpaired', '1', true);
    RETURN 0;
END
$function$;

-- The number of the statement whose rows come one by one: the same for all of them.
CREATE FUNCTION custody.audit_row_statement(relation oid, operation text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    mark text := relation || ':' || operation || ':' || pg_trigger_depth() || ':'
        || extract(epoch FROM statement_timestamp()) || ':';
    said text := COALESCE(current_setting('custody.row_statement', true), '');
    number bigint;
BEGIN
    IF starts_with(said, mark) THEN
        RETURN substr(said, length(mark) + 1)::bigint;
    END IF;
    number := nextval('custody.audit_statement_seq');
    PERFORM set_config('custody.row_statement', mark || number, true);
    RETURN number;
END
$function$;

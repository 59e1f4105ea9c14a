-- What the governed application calls, in any language.

-- What `soft_delete` calls once the caller has locked the row.
CREATE FUNCTION custody.softdelete_asked(relation oid, key text, reason text)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    root oid := custody.softdelete_root(relation);
BEGIN
    PERFORM custody.softdelete_may(root, 'DELETE', 'delete');
    IF (custody.softdelete_table(root)).id IS NOT NULL AND custody.softdelete_bound(root) THEN
        IF NOT custody.softdelete_update_tells(root) THEN
            RAISE EXCEPTION 'Row-level security of % lets % change records that it may not delete',
                custody.audit_relation(root), custody.softdelete_caller()
                USING ERRCODE = 'insufficient_privilege',
                      HINT = 'Whether this is one of them cannot be told: have its policies say the same of UPDATE and DELETE.';
        ELSIF NOT custody.softdelete_locked(root, custody.softdelete_key_values(root, key)) THEN
            RAISE EXCEPTION 'There is no such record of %', custody.audit_relation(root) USING ERRCODE = 'no_data_found';
        END IF;
    END IF;
    RETURN custody.softdelete_rows(root, jsonb_build_array(custody.softdelete_key_values(root, key)), reason, 'function');
END
$function$;

-- As a condition on alias `t`, with the key's values in $1; for who may know a table's key anyway.
CREATE FUNCTION custody.softdelete_condition(relation oid, key text)
RETURNS TABLE (source text, condition text, given jsonb)
LANGUAGE sql STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT k.source, k.condition,
           CASE WHEN k.condition IS NOT NULL THEN jsonb_build_array(custody.softdelete_key_values(relation, key)) END
    FROM custody.softdelete_keyed(relation, '$1', 't') k
$function$;

-- Deletes a record with all that hangs on it, and returns the number of the deletion. Runs as the
-- caller, so that row-level security decides whether it is there for him: the row is locked first.
CREATE FUNCTION custody.soft_delete("table" pg_catalog.text, key pg_catalog.text, reason pg_catalog.text DEFAULT NULL)
RETURNS pg_catalog.int8
LANGUAGE plpgsql
AS $function$
DECLARE
    relation pg_catalog.oid := COALESCE(pg_catalog.pg_partition_root("table"::pg_catalog.regclass), "table"::pg_catalog.regclass);
    keyed pg_catalog.record;
BEGIN
    IF pg_catalog.row_security_active(relation) THEN
        SELECT * INTO keyed FROM custody.softdelete_condition(relation, key);
        EXECUTE pg_catalog.format('SELECT FROM %s t, %s WHERE %s FOR UPDATE OF t',
                                  relation::pg_catalog.regclass, keyed.source, keyed.condition) USING keyed.given;
    END IF;
    RETURN custody.softdelete_asked(relation, key, reason);
END
$function$;

COMMENT ON FUNCTION custody.soft_delete(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
    'Moves a record, with all that hangs on it, into the bin';

-- Restores a deletion, whole or in part. What is in the way is refused, as JSON in the error's detail.
CREATE FUNCTION custody.restore(
    deletion pg_catalog.int8,
    rows pg_catalog.jsonb DEFAULT NULL,
    choices pg_catalog.jsonb DEFAULT NULL,
    parents pg_catalog.bool DEFAULT false,
    reason pg_catalog.text DEFAULT NULL
)
RETURNS pg_catalog.jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    relation oid;
    answer jsonb;
    first jsonb;
BEGIN
    FOR relation IN SELECT t.table_oid::oid FROM custody.retention_deletiontable t WHERE t.deletion_id = deletion LOOP
        PERFORM custody.softdelete_may(relation, 'UPDATE', 'restore');
        PERFORM custody.softdelete_not_bound(relation);
    END LOOP;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no deletion %', deletion USING ERRCODE = 'no_data_found';
    END IF;
    answer := custody.softdelete_restore(deletion, rows, choices, parents, reason);
    -- Of other deletions, parents in other tables may have come along.
    FOR relation IN SELECT (t.v ->> 'table')::regclass::oid FROM jsonb_array_elements(answer -> 'tables') AS t (v) LOOP
        PERFORM custody.softdelete_may(relation, 'UPDATE', 'restore');
        PERFORM custody.softdelete_not_bound(relation);
    END LOOP;
    IF NOT (answer -> 'restored')::boolean THEN
        first := answer -> 'conflicts' -> 0;
        RAISE EXCEPTION 'Deletion % cannot be restored: %', deletion, CASE first ->> 'kind'
                WHEN 'unique' THEN format('%s of %s is taken', first ->> 'columns', first ->> 'table')
                ELSE format('%s %s is deleted itself', first ->> 'parent_table', first ->> 'parent_record') END
            USING ERRCODE = CASE first ->> 'kind' WHEN 'unique' THEN 'unique_violation' ELSE 'foreign_key_violation' END,
                  DETAIL = custody.softdelete_told(answer -> 'conflicts')::text;
    END IF;
    RETURN answer;
END
$function$;

COMMENT ON FUNCTION custody.restore(
    pg_catalog.int8, pg_catalog.jsonb, pg_catalog.jsonb, pg_catalog.bool, pg_catalog.text
) IS 'Restores a deletion, whole or in part';

-- Deletes a record, unless it is in the bin already, and asks the console to destroy it. That happens
-- when another person has approved it: a function cannot archive, ask who holds the record, or prove.
CREATE FUNCTION custody.hard_delete("table" pg_catalog.text, key pg_catalog.text, reason pg_catalog.text DEFAULT NULL)
RETURNS pg_catalog.int8
LANGUAGE plpgsql
AS $function$
DECLARE
    relation pg_catalog.oid := "table"::pg_catalog.regclass::pg_catalog.oid;
    deletion pg_catalog.int8;
BEGIN
    deletion := custody.softdelete_in_bin(relation, key);
    IF deletion IS NULL THEN
        deletion := custody.soft_delete("table", key, reason);
    END IF;
    PERFORM custody.softdelete_ask_purge(relation, key, deletion);
    RETURN deletion;
END
$function$;

COMMENT ON FUNCTION custody.hard_delete(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
    'Deletes a record and asks the console to destroy it';

-- Which deletion has the record; NULL for none, and for whom row-level security binds.
CREATE FUNCTION custody.softdelete_in_bin(relation oid, key text)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    root oid := custody.softdelete_root(relation);
    keyed record;
    deletion bigint;
BEGIN
    PERFORM custody.softdelete_may(root, 'DELETE', 'delete');
    IF (custody.softdelete_table(root)).id IS NULL OR custody.softdelete_bound(root, true) THEN
        RETURN NULL;
    END IF;
    SELECT * INTO keyed FROM custody.softdelete_condition(root, key);
    EXECUTE format('SELECT t.deletion_id FROM %s t, %s WHERE %s', custody.audit_relation(root), keyed.source, keyed.condition)
       INTO deletion USING keyed.given;
    RETURN deletion;
END
$function$;

CREATE FUNCTION custody.softdelete_ask_purge(relation oid, key text, deletion bigint)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    root oid := custody.softdelete_root(relation);
BEGIN
    PERFORM custody.softdelete_may(root, 'DELETE', 'delete');
    -- Of a record that has gone into the bin in this transaction, or that the caller may see there.
    UPDATE custody.retention_deletion d SET purge_asked_by = custody.softdelete_actor()
     WHERE d.id = deletion AND d.state = 'deleted' AND d.purge_asked_by = '' AND d.table_oid = root::bigint
       AND (d.xid = pg_current_xact_id()::text::bigint OR deletion = custody.softdelete_in_bin(root, key));
END
$function$;

-- For whom our policies hide deleted rows, and only of tables that they are on.
CREATE FUNCTION custody.softdelete_hidden("table" anyelement, relation oid, key text)
RETURNS SETOF anyelement
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    keyed record;
BEGIN
    PERFORM custody.softdelete_may(relation, 'SELECT', 'read');
    PERFORM custody.softdelete_not_bound(relation);
    IF (custody.softdelete_table(relation)).id IS NOT NULL THEN
        SELECT * INTO keyed FROM custody.softdelete_condition(relation, key);
        RETURN QUERY EXECUTE format('SELECT t.* FROM %s t, %s WHERE %s',
                                    custody.audit_relation(relation), keyed.source, keyed.condition) USING keyed.given;
    END IF;
END
$function$;

-- A record whether it is deleted or not: SELECT * FROM custody.with_deleted(NULL::shop.users, '4711').
-- Reads as the caller, unless row-level security may hide it from him: a table's types are its owner's,
-- and run his code.
CREATE FUNCTION custody.with_deleted("table" pg_catalog.anyelement, key pg_catalog.text)
RETURNS SETOF pg_catalog.anyelement
LANGUAGE plpgsql
STABLE
AS $function$
DECLARE
    relation pg_catalog.oid := (SELECT t.typrelid FROM pg_catalog.pg_type t
                                WHERE t.oid OPERATOR(pg_catalog.=) pg_catalog.pg_typeof("table")::pg_catalog.oid);
    keyed pg_catalog.record;
BEGIN
    SELECT * INTO keyed FROM custody.softdelete_condition(relation, key);
    IF keyed.condition IS NULL THEN
        RAISE EXCEPTION '% is no table with a key', pg_catalog.pg_typeof("table")
            USING ERRCODE = 'invalid_parameter_value', HINT = 'As in custody.with_deleted(NULL::shop.users, ''4711'').';
    ELSIF pg_catalog.row_security_active(relation) THEN
        RETURN QUERY SELECT * FROM custody.softdelete_hidden("table", relation, key);
    ELSE
        RETURN QUERY EXECUTE pg_catalog.format('SELECT t.* FROM %s t, %s WHERE %s', relation::pg_catalog.regclass,
                                               keyed.source, keyed.condition) USING keyed.given;
    END IF;
END
$function$;

COMMENT ON FUNCTION custody.with_deleted(pg_catalog.anyelement, pg_catalog.text) IS
    'A record of a table, whether it is in the bin or not';

-- Whoever may call the others by hand could mark rows that are not his.
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

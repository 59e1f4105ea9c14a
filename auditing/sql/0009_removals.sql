-- A purge tells which versions it took away, in the statement that takes them: what is gone without
-- being told of, somebody else has taken.

-- Numbers as ranges, both ends in: the form of auditing_removal.numbers.
CREATE FUNCTION custody.audit_ranges(numbers int8multirange)
RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
RETURN COALESCE((SELECT array_agg(ARRAY[lower(r), upper(r) - 1] ORDER BY r) FROM unnest(numbers) AS r), '{}');

-- The statements with which the capture function lets versions go with their row. They are for
-- EXECUTE: $3 is the time; a row-level trigger's old row is $8. The setting `custody.run` says for
-- which run.
CREATE FUNCTION custody.audit_purge_statements(tracked bigint)
RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    t custody.auditing_trackedtable;
    old_rows text;
    same_key text := custody.audit_same_key(tracked, 'o');
    record_id text := custody.audit_record_id(tracked, 'o');
    made text[] := '{}';
BEGIN
    SELECT * INTO STRICT t FROM custody.auditing_trackedtable x WHERE x.id = tracked;
    old_rows := CASE WHEN t.row_level THEN '(SELECT ($8).*)' ELSE 'custody_old' END;
    IF same_key IS NOT NULL THEN
        -- Images of a baseline share their number, also where they were carried forward.
        made := made || format(
            'WITH gone AS (DELETE FROM history.%I h USING %s o WHERE %s RETURNING h.seq,'
            ' CASE WHEN h.op OPERATOR(pg_catalog.=) ANY (''{B,C}''::pg_catalog."char"[]) THEN custody.audit_tag(%s) END AS tag)'
            ' INSERT INTO custody.auditing_removal (kind, tracked_id, run_id, at, numbers, images, versions)'
            ' SELECT ''purged'', %s::pg_catalog.int8,'
            ' NULLIF(pg_catalog.current_setting(''custody.run'', true), '''')::pg_catalog.int8, $3,'
            ' custody.audit_ranges(all_of.numbers), COALESCE(all_of.tags, ''{}''::pg_catalog.int8[]), all_of.versions'
            ' FROM (SELECT pg_catalog.range_agg(pg_catalog.int8range(gone.seq, gone.seq, ''[]'')) FILTER (WHERE gone.tag IS NULL),'
            ' pg_catalog.array_agg(gone.tag) FILTER (WHERE gone.tag IS NOT NULL), pg_catalog.count(*) FROM gone)'
            ' AS all_of (numbers, tags, versions) WHERE all_of.versions OPERATOR(pg_catalog.>) 0::pg_catalog.int8',
            t.history_name, old_rows, same_key, record_id, tracked);
    END IF;
    -- What people said of these versions goes with them.
    RETURN made || format('DELETE FROM custody.auditing_versionnote h USING %s o'
        ' WHERE h.tracked_id OPERATOR(pg_catalog.=) %s::pg_catalog.int8 AND h.record_id OPERATOR(pg_catalog.=) %s',
        old_rows, tracked, record_id);
END
$function$;

-- As before, but for a purge: capture functions that are there call it by its name.
ALTER FUNCTION custody.audit_statements(bigint, text, boolean, boolean) RENAME TO audit_version_statements;

CREATE FUNCTION custody.audit_statements(tracked bigint, kind text, overtaken boolean, dynamic boolean)
RETURNS text[]
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
RETURN CASE WHEN kind = 'purge' THEN custody.audit_purge_statements(tracked)
            ELSE custody.audit_version_statements(tracked, kind, overtaken, dynamic) END;

REVOKE ALL ON FUNCTION custody.audit_ranges(int8multirange), custody.audit_purge_statements(bigint),
    custody.audit_statements(bigint, text, boolean, boolean) FROM PUBLIC;

-- What the history shows to SQL. The views and functions of each table are made when it is tracked
-- (auditing/services/audit_views.py); here is what they share.

-- A value of `type`, given as text, as JSON; as a JSON string where it is no such value (any more) or
-- where jsonb cannot hold it: a NUL, half a surrogate pair.
CREATE FUNCTION custody.audit_json(value text, type text)
RETURNS jsonb
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found jsonb;
BEGIN
    EXECUTE pg_catalog.format('SELECT pg_catalog.to_jsonb($1::%s)',
                              pg_catalog.format_type(pg_catalog.to_regtype(type), NULL))
       INTO found USING value;
    RETURN found;
EXCEPTION WHEN OTHERS THEN
    RETURN pg_catalog.to_jsonb(value);
END
$$;

-- Nothing yet: its columns, so that rights can be given on it before the first table is tracked.
CREATE VIEW custody.audit_log AS
SELECT NULL::bigint AS id, NULL::text AS table_name, NULL::text AS record_id, NULL::text AS action,
       NULL::jsonb AS old_data, NULL::jsonb AS new_data, NULL::text[] AS changed_fields,
       NULL::text AS user_id, NULL::text AS user_email, NULL::inet AS ip_address,
       NULL::text AS user_agent, NULL::timestamptz AS created_at, NULL::text AS reason,
       NULL::text AS request_id, NULL::text AS actor, NULL::text AS operation,
       NULL::bigint AS statement, NULL::bigint AS transaction
 WHERE false;

-- The tracked table that kept `relation`, or the table called `wanted`, at a moment.
CREATE FUNCTION custody.audit_tracked_at(relation oid, wanted text, moment timestamptz)
RETURNS custody.auditing_trackedtable
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry custody.auditing_trackedtable;
    began timestamptz;
BEGIN
    SELECT t.* INTO entry
      FROM custody.auditing_trackedtable AS t
     WHERE (t.table_oid = relation
            OR wanted IN (format('%I.%I', t.schema_name, t.table_name),
                          t.schema_name || '.' || t.table_name))
       AND t.tracked_at <= moment
       AND (t.untracked_at IS NULL OR t.untracked_at > moment)
     ORDER BY t.tracked_at DESC
     LIMIT 1;
    IF FOUND THEN
        RETURN entry;
    END IF;
    SELECT min(t.tracked_at) INTO began
      FROM custody.auditing_trackedtable AS t
     WHERE t.table_oid = relation
        OR wanted IN (format('%I.%I', t.schema_name, t.table_name),
                      t.schema_name || '.' || t.table_name);
    wanted := COALESCE(wanted, (SELECT format('%I.%I', n.nspname, c.relname)
                                  FROM pg_class AS c
                                  JOIN pg_namespace AS n ON n.oid = c.relnamespace
                                 WHERE c.oid = relation), relation::text);
    IF began IS NULL THEN
        RAISE EXCEPTION '% is not audited: nobody knows what it was', wanted
              USING ERRCODE = 'undefined_table',
                    HINT = 'Write the table with its schema, as custody.auditing_trackedtable has it. '
                           'manage.py audit_track begins an audit.';
    END IF;
    RAISE EXCEPTION '% was not audited at %: its audit began at %', wanted, moment, began
          USING ERRCODE = 'data_exception', HINT = 'Ask for a moment since then.';
END
$$;

-- custody.as_of('shop.orders', '2026-11-01'): each row that the table had, as JSON under the names
-- that its columns have now. With a record id, that row only.
CREATE FUNCTION custody.as_of(table_name text, moment timestamptz, record_id text DEFAULT NULL)
RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tracked custody.auditing_trackedtable := custody.audit_tracked_at(NULL, table_name, moment);
BEGIN
    RETURN QUERY EXECUTE format('SELECT * FROM history.%I($1, $2)',
                                tracked.history_name || '_as_of')
           USING moment, record_id;
END
$$;

CREATE FUNCTION custody.as_of(relation regclass, moment timestamptz, record_id text DEFAULT NULL)
RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tracked custody.auditing_trackedtable := custody.audit_tracked_at(relation, NULL, moment);
BEGIN
    RETURN QUERY EXECUTE format('SELECT * FROM history.%I($1, $2)',
                                tracked.history_name || '_as_of')
           USING moment, record_id;
END
$$;

-- SELECT * FROM custody.as_of(NULL::shop.orders, '2026-11-01'): the same as rows of the table, with its
-- columns of today. A column that was not there yet, that is masked or excluded is NULL; a virtual
-- one is computed again. A value that its column's type does not take any more is an error: then ask
-- for JSON.
CREATE FUNCTION custody.as_of(row_of anyelement, moment timestamptz, record_id text DEFAULT NULL)
RETURNS SETOF anyelement
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relation oid := (SELECT c.oid FROM pg_class AS c
                      WHERE c.reltype = pg_typeof(row_of) AND c.reltype <> 0);
    tracked custody.auditing_trackedtable;
    inside text;
    outside text;
BEGIN
    IF relation IS NULL THEN
        RAISE EXCEPTION '% is not the row of a table', pg_typeof(row_of)
              USING ERRCODE = 'wrong_object_type',
                    HINT = 'Write custody.as_of(NULL::schema.table, moment).';
    END IF;
    tracked := custody.audit_tracked_at(relation, NULL, moment);
    WITH places AS (
        SELECT a.attnum, a.attname, a.attgenerated, d.adbin,
               format_type(a.atttypid, a.atttypmod) AS type,
               (SELECT string_agg(
                         CASE WHEN to_regtype(k.type) = custody.audit_base_type(a.atttypid)
                                OR k.type = 'pg_catalog.text'
                              THEN format('h.%I::%s', k.name, format_type(a.atttypid, a.atttypmod))
                              ELSE format('h.%I::text::%s', k.name,
                                          format_type(a.atttypid, a.atttypmod)) END, ', '
                         ORDER BY k.id DESC)
                  FROM custody.auditing_historycolumn AS k
                 WHERE k.tracked_id = tracked.id AND k.attnum = a.attnum) AS kept,
               COALESCE((SELECT c.handling = 'captured' FROM custody.auditing_trackedcolumn AS c
                          WHERE c.tracked_id = tracked.id AND c.attnum = a.attnum), true) AS captured
          FROM pg_attribute AS a
          LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
    )
    SELECT string_agg(
             CASE WHEN NOT p.captured THEN format('NULL::%s AS %I', p.type, p.attname)
                  ELSE format('COALESCE(%s(h.rest ->> %L)::%s) AS %I', p.kept || ', ',
                              p.attnum::text, p.type, p.attname) END, ', ' ORDER BY p.attnum)
             FILTER (WHERE p.attgenerated <> 'v'),
           string_agg(
             CASE WHEN p.attgenerated = 'v'
                  THEN format('(%s)::%s', pg_get_expr(p.adbin, relation), p.type)
                  ELSE format('i.%I', p.attname) END, ', ' ORDER BY p.attnum)
      INTO inside, outside
      FROM places AS p;
    RETURN QUERY EXECUTE format('SELECT %s FROM (SELECT %s FROM history.%I($1, $2) AS h) AS i',
                                outside, inside, tracked.history_name || '_at')
           USING moment, record_id;
END
$$;

-- The lines of custody.audit_log about one record, found by the index of its key: the text of a record
-- id, by which the view can be asked too, no index has.
CREATE FUNCTION custody.audit_log_of("table" text, key text)
RETURNS TABLE (
    id bigint, table_name text, record_id text, action text, old_data jsonb, new_data jsonb,
    changed_fields text[], user_id text, user_email text, ip_address inet, user_agent text,
    created_at timestamptz, reason text, request_id text, actor text, operation text,
    statement bigint, transaction bigint
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    history text;
BEGIN
    FOR history IN
        SELECT t.history_name FROM custody.auditing_trackedtable AS t
         WHERE "table" IN (format('%I.%I', t.schema_name, t.table_name),
                           t.schema_name || '.' || t.table_name)
         ORDER BY t.id
    LOOP
        RETURN QUERY EXECUTE format('SELECT * FROM history.%I($1)', history || '_log_of') USING key;
    END LOOP;
    IF history IS NULL THEN
        RAISE EXCEPTION '% is not audited', "table"
              USING ERRCODE = 'undefined_table', HINT = 'Write the table with its schema.';
    END IF;
END
$$;

-- The type under a domain.
CREATE FUNCTION custody.audit_base_type(type oid)
RETURNS regtype
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE under AS (
        SELECT type AS oid
        UNION ALL
        SELECT t.typbasetype FROM under AS u JOIN pg_type AS t ON t.oid = u.oid AND t.typtype = 'd'
    )
    SELECT u.oid::regtype FROM under AS u JOIN pg_type AS t ON t.oid = u.oid AND t.typtype <> 'd'
$$;

DO $$
DECLARE
    each regprocedure;
BEGIN
    FOR each IN SELECT p.oid FROM pg_catalog.pg_proc AS p
                 WHERE p.pronamespace = 'custody'::regnamespace
                   AND p.proname IN ('audit_json', 'audit_tracked_at', 'as_of', 'audit_base_type',
                                     'audit_log_of') LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', each);
    END LOOP;
END
$$;

-- The statements that write versions.
--
-- They run as their owner under the caller's search_path, so every name, type and operator in them
-- is qualified; a SET clause would cost each single-row statement some 5 microseconds
-- (docs/performance.md).

-- Texts of values are printed one way, whatever the session's settings are: those that printing
-- depends on, in this order. Sets them until the end of the transaction; returns what they were.
CREATE FUNCTION custody.audit_print_as(
    wanted text[] DEFAULT ARRAY['ISO, YMD', 'postgres', 'UTC', 'hex', '1', 'C'])
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    names CONSTANT text[] := ARRAY['DateStyle', 'IntervalStyle', 'TimeZone', 'bytea_output',
                                   'extra_float_digits', 'lc_monetary'];
    found text[];
BEGIN
    FOR place IN 1 .. array_length(names, 1) LOOP
        found[place] := current_setting(names[place]);
        IF found[place] <> wanted[place] THEN
            PERFORM set_config(names[place], wanted[place], true);
        END IF;
    END LOOP;
    RETURN found;
END
$function$;

-- The record id of a row of `alias`: what `operations.record_ids` makes in Python. NULL without key.
CREATE FUNCTION custody.audit_record_id(tracked bigint, alias text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    parts text[];
BEGIN
    SELECT array_agg(
        CASE
            WHEN c.type = 'numeric'::regtype THEN format('pg_catalog.trim_scale(%s)::pg_catalog.text', v.value)
            WHEN c.type = 'bytea'::regtype
            THEN format('(''\x'' OPERATOR(pg_catalog.||) pg_catalog.encode(%s, ''hex''))', v.value)
            WHEN c.type = 'date'::regtype
            THEN format('(pg_catalog.to_json(%s) OPERATOR(pg_catalog.#>>) ''{}''::pg_catalog.text[])', v.value)
            WHEN c.type = 'timestamp'::regtype
            THEN format('pg_catalog.replace(pg_catalog.to_json(%s) OPERATOR(pg_catalog.#>>) ''{}''::pg_catalog.text[], ''T'', '' '')', v.value)
            WHEN c.type = 'timestamptz'::regtype
            THEN format('(pg_catalog.replace(pg_catalog.to_json(pg_catalog.timezone(''UTC'', %s)) OPERATOR(pg_catalog.#>>) ''{}''::pg_catalog.text[], ''T'', '' '') OPERATOR(pg_catalog.||) ''+00'')', v.value)
            ELSE format('%s::pg_catalog.text', v.value)
        END ORDER BY c.key_position)
      INTO parts
      FROM custody.audit_columns(tracked) c
      CROSS JOIN LATERAL (SELECT alias || '.' || quote_ident(c.name) AS value) v
     WHERE c.key_position IS NOT NULL;
    IF parts IS NULL THEN
        RETURN 'NULL::pg_catalog.text';
    ELSIF array_length(parts, 1) = 1 THEN
        RETURN parts[1];
    END IF;
    RETURN format('pg_catalog.to_json(ARRAY[%s])::pg_catalog.text', array_to_string(parts, ', '));
END
$function$;

-- That a row of the history `h` is a version of the key of `alias`; NULL when the key is gone. An
-- attnum whose type changed has its value in one of several columns.
CREATE FUNCTION custody.audit_same_key(tracked bigint, alias text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN count(*) FILTER (WHERE c.history_name IS NULL) = 0 THEN
        string_agg(format('%s OPERATOR(pg_catalog.=) %s.%I::%s', kept.value, alias, c.name,
                          custody.audit_type_name(c.history_type)), ' AND ' ORDER BY c.key_position)
    END
    FROM custody.audit_columns(tracked) c
    CROSS JOIN LATERAL (
        SELECT CASE WHEN count(*) > 1
                    THEN format('COALESCE(%s)', string_agg(
                         format('h.%I::%s', h.name, custody.audit_type_name(c.history_type)), ', ' ORDER BY h.id DESC))
                    ELSE format('h.%I', min(h.name)) END AS value
        FROM custody.auditing_historycolumn h
        WHERE h.tracked_id = tracked AND h.attnum = c.attnum
    ) kept
    WHERE c.key_position IS NOT NULL;
END;

-- The statements that write the versions of one firing, in order. With `dynamic` they are for
-- EXECUTE and have $1 to $9 where the capture function has its variables.
--   kind: insert, update, rekeyed (a key changed: rows are paired by their place, which is the same
--         in both transition tables), misread (see audit_misread), delete, purge, truncate and baseline (of the relation put for their %s)
--   overtaken: the statement's own triggers may have changed its rows again before we were called;
--         what is not the row that now stands in the table gets the number reserved before that.
CREATE FUNCTION custody.audit_statements(tracked bigint, kind text, overtaken boolean, dynamic boolean)
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    t custody.auditing_trackedtable;
    v text[] := CASE WHEN dynamic THEN '{$1,$2,$3,$4,$5,$6,$7}'::text[]
        ELSE '{v_statement,pg_catalog.txid_current(),v_at,v_user,v_client,v_context,v_reserved}'::text[] END;
    layout bigint := custody.audit_layout(tracked);
    targets text;
    images_o text;
    images_n text;
    spilled_o text;
    spilled_n text;
    bits text;
    whole text;
    mask bigint;
    width bigint;
    differ text;
    rekeyed text;
    pairs text;
    live_key_n text;
    live_key_o text;
    live_image text;
    same_key text := custody.audit_same_key(tracked, 'o');
    old_rows text;
    new_rows text;
    paired text;
    joined text;
    seq_n text := 'pg_catalog.nextval(''custody.audit_seq''::pg_catalog.regclass)';
    seq_o text;
    unpaired text;
    made text[] := '{}';
    -- Of an image: a row without any version was there since the first baseline of several.
    first_or text := '%2$s';
BEGIN
    SELECT * INTO STRICT t FROM custody.auditing_trackedtable x WHERE x.id = tracked;
    IF t.baseline_first_seq < t.baseline_seq AND same_key IS NOT NULL THEN
        first_or := replace(format('CASE WHEN EXISTS (SELECT FROM history.%I h WHERE %s) THEN ', t.history_name, same_key), '%', '%%')
            || '%2$s ELSE %1$s END';
    END IF;
    SELECT COALESCE(string_agg(format(', %I', c.history_name), '' ORDER BY c.attnum), ''),
           COALESCE(string_agg(format(', o.%I', c.name) || cast_to.type, '' ORDER BY c.attnum), ''),
           COALESCE(string_agg(format(', n.%I', c.name) || cast_to.type, '' ORDER BY c.attnum), '')
      INTO targets, images_o, images_n
      FROM custody.audit_columns(tracked) c
      CROSS JOIN LATERAL (SELECT CASE WHEN c.type = c.history_type THEN ''
                                 ELSE '::' || custody.audit_type_name(c.history_type) END AS type) cast_to
     WHERE c.history_name IS NOT NULL;
    SELECT format('pg_catalog.jsonb_build_object(%s)', string_agg(format('%L, ', c.attnum)
                  || format('o.%I::pg_catalog.text', c.name), ', ' ORDER BY c.attnum)),
           format('pg_catalog.jsonb_build_object(%s)', string_agg(format('%L, ', c.attnum)
                  || format('n.%I::pg_catalog.text', c.name), ', ' ORDER BY c.attnum))
      INTO spilled_o, spilled_n
      FROM custody.audit_columns(tracked) c
     WHERE c.history_name IS NULL AND c.handling = 'captured' AND c.generated <> 'v'
    HAVING count(*) > 0;
    -- The leftmost bit is the first column's: a cast from bigint takes the last bits of it.
    SELECT string_agg(word.expression || format('::pg_catalog.bit(%s)', word.columns),
                      ' OPERATOR(pg_catalog.||) ' ORDER BY word.number),
           CASE WHEN count(*) = 1 THEN min(word.expression) END, min(word.significant), min(word.columns)
      INTO bits, whole, mask, width
      FROM (
        SELECT c.place / 62 AS number,
               '(' || string_agg(
                   format('CASE WHEN %s THEN ', custody.audit_differs(quote_ident(c.name), c.type, c."collation"))
                   || c.bit || '::pg_catalog.int8 ELSE 0::pg_catalog.int8 END',
                   ' OPERATOR(pg_catalog.|) ' ORDER BY c.place) || ')' AS expression,
               bit_or(c.bit) FILTER (WHERE c.significant OR c.key_position IS NOT NULL) AS significant,
               count(*) AS columns
          FROM (SELECT x.*, 1::bigint << (least(x.place / 62 * 62 + 61, max(x.place) OVER ()) - x.place) AS bit
                FROM custody.audit_columns(tracked) x) c
         WHERE c.place IS NOT NULL
         GROUP BY c.place / 62
      ) word;
    -- Keys last: they seldom change, and OR ends with the first that is true.
    SELECT string_agg(custody.audit_differs(quote_ident(c.name), c.type, c."collation"),
                      ' OR ' ORDER BY c.key_position NULLS FIRST, c.attnum),
           string_agg(custody.audit_differs(quote_ident(c.name), c.type, c."collation"),
                      ' OR ' ORDER BY c.key_position) FILTER (WHERE c.key_position IS NOT NULL),
           string_agg(custody.audit_same('o', 'n', c.name, c.type),
                      ' AND ' ORDER BY c.key_position) FILTER (WHERE c.key_position IS NOT NULL),
           string_agg(format('o.%1$I IS NULL OR n.%1$I IS NULL', c.name), '')
                      FILTER (WHERE c.key_position = 1)
      INTO differ, rekeyed, pairs, unpaired
      FROM custody.audit_columns(tracked) c
     WHERE c.place IS NOT NULL AND (c.significant OR c.key_position IS NOT NULL);
    IF kind = 'update' AND NOT custody.audit_key_holds(tracked) THEN
        -- By a key that several rows may have, each would be paired with the others' as well.
        kind := 'rekeyed';
    END IF;
    old_rows := CASE WHEN NOT t.row_level THEN 'custody_old' WHEN dynamic THEN '(SELECT ($8).*)' ELSE '(SELECT OLD.*)' END;
    new_rows := CASE WHEN NOT t.row_level THEN 'custody_new' WHEN dynamic THEN '(SELECT ($9).*)' ELSE '(SELECT NEW.*)' END;
    paired := format('(SELECT x.*, pg_catalog.row_number() OVER () AS "custody:place" FROM %s x) o FULL JOIN '
                     '(SELECT x.*, pg_catalog.row_number() OVER () AS "custody:place" FROM %s x) n '
                     'ON o."custody:place" OPERATOR(pg_catalog.=) n."custody:place"', old_rows, new_rows);
    seq_o := seq_n;
    IF overtaken THEN
        SELECT string_agg(custody.audit_same('l', 'n', c.name, c.type), ' AND '),
               string_agg(custody.audit_same('l', 'o', c.name, c.type), ' AND ')
          INTO live_key_n, live_key_o
          FROM custody.audit_columns(tracked) c WHERE c.key_position IS NOT NULL;
        SELECT format('pg_catalog.record_image_eq(ROW(%s), ROW(%s))', string_agg(format('l.%I', c.name), ', ' ORDER BY c.attnum),
                      string_agg(format('n.%I', c.name), ', ' ORDER BY c.attnum))
          INTO live_image FROM custody.audit_columns(tracked) c WHERE c.place IS NOT NULL;
        IF live_key_n IS NOT NULL THEN
            seq_o := format('CASE WHEN EXISTS (SELECT FROM %s%s l WHERE %s) THEN %s ELSE %s END',
                            CASE WHEN t.row_level THEN 'ONLY ' ELSE '' END,
                            custody.audit_relation(t.table_oid::oid), live_key_o, v[7], seq_n);
            seq_n := format('CASE WHEN EXISTS (SELECT FROM %s%s l WHERE %s AND %s) THEN %s ELSE %s END',
                            CASE WHEN t.row_level THEN 'ONLY ' ELSE '' END,
                            custody.audit_relation(t.table_oid::oid), live_key_n, live_image, seq_n, v[7]);
        END IF;
    END IF;

    IF kind = 'purge' THEN
        IF same_key IS NOT NULL THEN
            made := made || format('DELETE FROM history.%I h USING %s o WHERE %s', t.history_name, old_rows, same_key);
        END IF;
        -- What people said of these versions goes with them.
        made := made || format('DELETE FROM custody.auditing_versionnote h USING %s o'
            ' WHERE h.tracked_id OPERATOR(pg_catalog.=) %s::pg_catalog.int8 AND h.record_id OPERATOR(pg_catalog.=) %s',
            old_rows, tracked, custody.audit_record_id(tracked, 'o'));
        RETURN made;
    END IF;
    IF t.baseline_seq IS NOT NULL AND kind <> 'insert' THEN
        -- What a row was before its first change, where no baseline has come to it.
        made := made || (custody.audit_insert(t.history_name, targets,
                format(first_or, t.baseline_first_seq, t.baseline_seq), 'B', v,
                format(first_or, quote_literal(t.baseline_first_at) || '::pg_catalog.timestamptz',
                       quote_literal(t.baseline_at) || '::pg_catalog.timestamptz'),
                layout, NULL, spilled_o, images_o)
            || CASE WHEN kind IN ('truncate', 'baseline') THEN ' FROM ONLY %s o' ELSE format(' FROM %s o', old_rows) END
            || CASE WHEN same_key IS NULL THEN '' ELSE format(
               ' WHERE NOT EXISTS (SELECT FROM history.%I h WHERE %s'
               ' AND h.seq OPERATOR(pg_catalog.>=) %s::pg_catalog.int8%s AND h.at OPERATOR(pg_catalog.<=) %s)',
               t.history_name, same_key, t.baseline_since,
               -- So that only the partitions since then are looked into.
               CASE WHEN t.baseline_since = t.baseline_seq THEN format(
                    ' AND h.at OPERATOR(pg_catalog.>=) %L::pg_catalog.timestamptz', t.baseline_at) ELSE '' END,
               -- The rows of a baseline are seen a moment later than its time is taken.
               CASE WHEN kind = 'baseline' THEN format('(%s OPERATOR(pg_catalog.+) ''1 hour''::pg_catalog.interval)', v[3]) ELSE v[3] END) END);
    END IF;
    IF kind = 'baseline' THEN
        RETURN made;
    END IF;
    CASE kind
    WHEN 'insert' THEN
        made := made || (custody.audit_insert(t.history_name, targets, seq_n, 'I', v, v[3], layout, NULL, spilled_n, images_n)
                         || format(' FROM %s n', new_rows));
    WHEN 'delete' THEN
        made := made || (custody.audit_insert(t.history_name, targets, seq_o, 'D', v, v[3], layout, NULL, spilled_o, images_o)
                         || format(' FROM %s o', old_rows));
    WHEN 'truncate' THEN
        made := made || (custody.audit_insert(t.history_name, targets, seq_o, 'T', v, v[3], layout, NULL, spilled_o, images_o)
                         || ' FROM ONLY %s o');
    WHEN 'update' THEN
        -- FULL, though each row finds its other: no plan of it is a nested loop, whose cost a plan
        -- cached for one row would multiply by the square of the next statement's.
        -- A row without its other means that keys changed: it says so, and `rekeyed` begins again.
        joined := format('%s o FULL JOIN %s n ON %s', old_rows, new_rows, pairs);
        IF whole IS NULL THEN
            made := made || (custody.audit_insert(t.history_name, targets,
                    format('CASE WHEN %s THEN custody.audit_unpaired() ELSE %s END', unpaired, seq_n),
                    'U', v, v[3], layout, bits, spilled_n, images_n)
                || format(' FROM %s WHERE %s', joined, differ));
        ELSE
            -- OFFSET 0 keeps the planner from writing the comparisons twice: to make them ready is
            -- a tenth of what a single-row statement costs (docs/performance.md).
            made := made || (custody.audit_insert(t.history_name, targets,
                    format('CASE WHEN n."custody:alone" THEN custody.audit_unpaired() ELSE %s END', seq_n),
                    'U', v, v[3], layout, format('n."custody:changed"::pg_catalog.bit(%s)', width), spilled_n, images_n)
                || format(' FROM (SELECT %s AS "custody:changed", %s AS "custody:alone"%s FROM %s OFFSET 0) n'
                          ' WHERE (n."custody:changed" OPERATOR(pg_catalog.&) %s::pg_catalog.int8)'
                          ' OPERATOR(pg_catalog.<>) 0::pg_catalog.int8',
                          whole, unpaired,
                          (SELECT string_agg(format(', n.%I', c.name), '' ORDER BY c.attnum)
                           FROM custody.audit_columns(tracked) c WHERE c.place IS NOT NULL),
                          joined, mask));
        END IF;
    WHEN 'misread' THEN
        made := made || (custody.audit_insert(t.history_name, targets, seq_n, 'U', v, v[3], layout, bits, spilled_n, images_n)
            || format(' FROM %s o JOIN %s n ON %s WHERE %s', old_rows, custody.audit_relation(t.table_oid::oid), pairs, differ));
        made := made || (custody.audit_insert(t.history_name, targets, seq_o, 'D', v, v[3], layout, NULL, spilled_o, images_o)
            || format(' FROM %s o WHERE NOT EXISTS (SELECT FROM %s n WHERE %s)', old_rows, custody.audit_relation(t.table_oid::oid), pairs));
    WHEN 'rekeyed' THEN
        IF rekeyed IS NOT NULL THEN
            -- All keys are given up before any is taken: id = id + 1 does both to most of them.
            made := made || (custody.audit_insert(t.history_name, targets, seq_o, 'R', v, v[3], layout, NULL,
                    format('COALESCE(%s, ''{}''::pg_catalog.jsonb) OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object(''now'', %s)',
                           COALESCE(spilled_o, 'NULL::pg_catalog.jsonb'), custody.audit_record_id(tracked, 'n')),
                    images_o) || format(' FROM %s WHERE (%s)', paired, rekeyed));
        END IF;
        made := made || (custody.audit_insert(t.history_name, targets, seq_n, 'U', v, v[3], layout, bits,
                CASE WHEN rekeyed IS NULL THEN spilled_n ELSE
                format('CASE WHEN %s THEN COALESCE(%s, ''{}''::pg_catalog.jsonb) OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object(''was'', %s) ELSE %s END',
                       rekeyed, COALESCE(spilled_n, 'NULL::pg_catalog.jsonb'), custody.audit_record_id(tracked, 'o'),
                       COALESCE(spilled_n, 'NULL::pg_catalog.jsonb')) END,
                images_n) || format(' FROM %s WHERE %s', paired, differ));
    END CASE;
    RETURN made;
END
$function$;

-- Asks whether rows of an UPDATE that have no other with their key are there still: then no key
-- changed, and the new rows are not those that the table has. PostgreSQL (15 to 18) shows a row that
-- a MERGE inserted into a partitioned table in place of those that it updated after that.
CREATE FUNCTION custody.audit_misread(tracked bigint)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT format('SELECT EXISTS (SELECT FROM custody_old o JOIN %s l ON %s'
                  ' WHERE NOT EXISTS (SELECT FROM custody_new n WHERE %s))',
                  custody.audit_relation((SELECT t.table_oid::oid FROM custody.auditing_trackedtable t WHERE t.id = tracked)),
                  string_agg(custody.audit_same('o', 'l', c.name, c.type), ' AND '),
                  string_agg(custody.audit_same('o', 'n', c.name, c.type), ' AND '))
    FROM custody.audit_columns(tracked) c WHERE c.key_position IS NOT NULL;
END;

-- The head of a statement that writes versions, up to its FROM.
CREATE FUNCTION custody.audit_insert(history_name text, targets text, seq text, op text, v text[],
                                     at text, layout bigint, bits text, rest text, images text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN format('INSERT INTO history.%I (seq, statement, xid, op, at, layout, changed, db_user, client, context, rest', history_name)
    || targets || ') SELECT ' || seq
    || format(', %s, %s, %L::pg_catalog."char", ', v[1], v[2], op) || at
    || format(', %s::pg_catalog.int8, ', layout) || COALESCE(bits, 'NULL::pg_catalog.varbit')
    || format(', %s, %s, %s, ', v[4], v[5], v[6]) || COALESCE(rest, 'NULL::pg_catalog.jsonb') || images;

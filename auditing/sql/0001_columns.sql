-- What the capture knows of a table: its columns, its key, and the types that history keeps.

CREATE SCHEMA IF NOT EXISTS history;
REVOKE ALL ON SCHEMA history FROM PUBLIC;

-- CACHE stays 1: the order of a row's versions is the order of these numbers.
CREATE SEQUENCE custody.audit_seq AS bigint CACHE 1;
CREATE SEQUENCE custody.audit_statement_seq AS bigint CACHE 1;

-- A bigint over the names, numbers and types of a table's columns: what a capture was made for.
CREATE FUNCTION custody.audit_fingerprint(relation oid)
RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT bit_xor(hash_record_extended(ROW(a.attname, a.atttypid), a.attnum))
    FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
);

-- The type that history keeps a column in: always one of pg_catalog's, or DROP TYPE, ALTER DOMAIN
-- and RENAME VALUE of the application would meet the history. What has no such type is text.
CREATE FUNCTION custody.audit_history_type(source oid)
RETURNS oid
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    kind record;
BEGIN
    SELECT t.typtype, t.typbasetype, t.typelem, t.typnamespace, t.typcategory, t.typname
      INTO kind FROM pg_type t WHERE t.oid = source;
    IF kind.typtype = 'd' THEN
        RETURN custody.audit_history_type(kind.typbasetype);
    END IF;
    IF kind.typnamespace <> 'pg_catalog'::regnamespace OR kind.typtype NOT IN ('b', 'r', 'm')
       -- Their values are object numbers of this cluster.
       OR kind.typname LIKE 'reg%' OR kind.typname LIKE '\_reg%'
       OR kind.typname IN ('aclitem', '_aclitem', 'refcursor', 'pg_node_tree') THEN
        RETURN 'text'::regtype;
    END IF;
    RETURN source;
END
$function$;

-- Whether two values differ, for the types whose equal values have one image, and for numeric with
-- its scale. The planner puts the expression in the place of the call, with the operator that was
-- looked up here: no search_path of a caller changes it, and nothing is cheaper to make ready.
DO $block$
DECLARE
    kind regtype;
BEGIN
    FOREACH kind IN ARRAY '{int2,int4,int8,bool,oid,uuid,date,time,timestamp,timestamptz,"\"char\"",name,bytea,macaddr,macaddr8,text,numeric}'::regtype[] LOOP
        EXECUTE format('CREATE FUNCTION custody.audit_distinct(a %1$s, b %1$s) RETURNS boolean LANGUAGE sql IMMUTABLE '
                       'RETURN a IS DISTINCT FROM b%2$s', kind,
                       CASE WHEN kind = 'numeric'::regtype THEN ' OR scale(a) <> scale(b)' ELSE '' END);
        EXECUTE format('REVOKE ALL ON FUNCTION custody.audit_distinct(%1$s, %1$s) FROM PUBLIC', kind);
    END LOOP;
END
$block$;

-- Whether a column differs between two rows. Where equal values can have two images (1.0 and 1.00,
-- '1 mon' and '30 days', json) the images are compared.
CREATE FUNCTION custody.audit_differs(quoted text, source oid, typmod_collation oid)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    base oid := source;
    kind "char";
BEGIN
    LOOP
        SELECT t.typtype INTO kind FROM pg_type t WHERE t.oid = base;
        EXIT WHEN kind <> 'd';
        SELECT t.typbasetype INTO base FROM pg_type t WHERE t.oid = base;
    END LOOP;
    IF base = 'varchar'::regtype THEN
        base := 'text'::regtype;
    END IF;
    IF to_regprocedure(format('custody.audit_distinct(%1$s,%1$s)', base::regtype)) IS NOT NULL
       AND (base <> 'text'::regtype OR typmod_collation = 0 OR EXISTS (
           SELECT FROM pg_collation c WHERE c.oid = typmod_collation AND c.collisdeterministic)) THEN
        -- A domain's own operators would hide its base type's: its values are cast.
        RETURN format('custody.audit_distinct(o.%1$s%2$s, n.%1$s%2$s)', quoted,
                      CASE WHEN base = source THEN '' ELSE '::' || custody.audit_type_name(base) END);
    ELSIF kind = 'e' THEN
        RETURN format('((o.%1$s%2$s OPERATOR(pg_catalog.=) n.%1$s%2$s) IS NOT TRUE AND NOT (o.%1$s IS NULL AND n.%1$s IS NULL))',
                      quoted, CASE WHEN base = source THEN '' ELSE '::' || custody.audit_type_name(base) END);
    END IF;
    RETURN format('pg_catalog.record_image_ne(ROW(o.%1$s), ROW(n.%1$s))', quoted);
END
$function$;

CREATE FUNCTION custody.audit_type_name(type oid)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT format('%I.%I', n.nspname, t.typname)
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.oid = type
);

-- The operator that the key's own index calls equal: it can hash or merge, and no other schema's
-- operator of that name takes its place.
CREATE FUNCTION custody.audit_equality(type oid)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    base oid := type;
    operator text;
BEGIN
    WHILE EXISTS (SELECT FROM pg_type t WHERE t.oid = base AND t.typtype = 'd') LOOP
        SELECT t.typbasetype INTO base FROM pg_type t WHERE t.oid = base;
    END LOOP;
    SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname) INTO operator
      FROM pg_opclass c
      JOIN pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree'
      JOIN pg_amop p ON p.amopfamily = c.opcfamily AND p.amopstrategy = 3
                    AND p.amoplefttype = c.opcintype AND p.amoprighttype = c.opcintype
      JOIN pg_operator o ON o.oid = p.amopopr
      JOIN pg_namespace n ON n.oid = o.oprnamespace
     WHERE c.opcintype = base AND c.opcdefault;
    -- Enums, arrays and ranges are compared by pg_catalog's operators of any such type.
    RETURN COALESCE(operator, 'OPERATOR(pg_catalog.=)');
END
$function$;

-- That a column of the key is the same in the rows of two aliases. A domain's values are cast to what
-- it is made of: the operators of enums, arrays and ranges do not take a domain over one.
CREATE FUNCTION custody.audit_same(one text, other text, name text, type oid)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT format('%1$s.%3$I%4$s %5$s %2$s.%3$I%4$s', one, other, name,
                  CASE WHEN t.typtype = 'd'
                       THEN '::' || custody.audit_type_name(custody.audit_base_type(t.oid)) ELSE '' END,
                  custody.audit_equality(t.oid))
    FROM pg_type t WHERE t.oid = audit_same.type
);

-- The present columns of a tracked table and what the capture does with each. `place` counts from 0
-- over the columns whose changes are told: it is the place in a layout.
CREATE FUNCTION custody.audit_columns(tracked bigint)
RETURNS TABLE (attnum smallint, name text, type oid, "collation" oid, handling text,
               significant boolean, key_position smallint, generated "char",
               history_name text, history_type oid, place integer)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.attnum, a.attname::text, a.atttypid, a.attcollation, COALESCE(k.handling, 'captured'),
           COALESCE(k.significant, NOT EXISTS (
               -- Where significant columns were chosen, a column added later is none of them.
               SELECT FROM custody.auditing_trackedcolumn i
               WHERE i.tracked_id = t.id AND NOT i.significant)),
           k.key_position, a.attgenerated, h.name::text,
           CASE WHEN h.id IS NOT NULL THEN custody.audit_history_type(a.atttypid) END,
           CASE WHEN COALESCE(k.handling, 'captured') <> 'excluded' AND a.attgenerated <> 'v'
                THEN (count(*) FILTER (WHERE COALESCE(k.handling, 'captured') <> 'excluded'
                                         AND a.attgenerated <> 'v')
                      OVER (ORDER BY a.attnum))::integer - 1 END
    FROM custody.auditing_trackedtable t
    JOIN pg_attribute a ON a.attrelid = t.table_oid::oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN custody.auditing_trackedcolumn k ON k.tracked_id = t.id AND k.attnum = a.attnum
    LEFT JOIN custody.auditing_historycolumn h
           ON h.tracked_id = t.id AND h.attnum = a.attnum
          AND h.source_type = custody.audit_type_name(a.atttypid)
          AND COALESCE(k.handling, 'captured') = 'captured' AND a.attgenerated <> 'v'
    WHERE t.id = tracked;
END;

-- The layout of the present columns, made when there is none yet. Never awaited: two writers who
-- find a changed table at once make one each.
CREATE FUNCTION custody.audit_layout(tracked bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    numbers smallint[];
    titles text[];
    found bigint;
BEGIN
    SELECT array_agg(c.attnum ORDER BY c.place), array_agg(c.name ORDER BY c.place)
      INTO numbers, titles FROM custody.audit_columns(tracked) c WHERE c.place IS NOT NULL;
    SELECT l.id INTO found FROM custody.auditing_layout l
     WHERE l.tracked_id = tracked AND l.attnums = COALESCE(numbers, '{}') AND l.names = COALESCE(titles, '{}')
     ORDER BY l.id DESC LIMIT 1;
    IF found IS NULL THEN
        INSERT INTO custody.auditing_layout (tracked_id, attnums, names, made_at)
        VALUES (tracked, COALESCE(numbers, '{}'), COALESCE(titles, '{}'), clock_timestamp())
        RETURNING id INTO found;
    END IF;
    RETURN found;
END
$function$;

-- The relation's name as it is now, for SQL.
CREATE FUNCTION custody.audit_relation(relation oid)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT format('%I.%I', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation
);

-- The columns of the key are still there, and still unique together.
CREATE FUNCTION custody.audit_key_holds(tracked bigint)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT EXISTS (
        SELECT FROM pg_index i
        WHERE i.indrelid = t.table_oid::oid AND i.indisunique AND i.indisvalid AND i.indimmediate
          AND i.indpred IS NULL AND i.indexprs IS NULL
          AND (SELECT array_agg(k.n ORDER BY k.n) FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (n, place)
               WHERE k.place <= i.indnkeyatts)
            = (SELECT array_agg(c.attnum ORDER BY c.attnum) FROM custody.auditing_trackedcolumn c
               WHERE c.tracked_id = t.id AND c.key_position IS NOT NULL)
    )
    FROM custody.auditing_trackedtable t WHERE t.id = tracked
);

-- What a capture function was made for: the columns, and whether the key is still one.
CREATE FUNCTION custody.audit_print(tracked bigint)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT custody.audit_fingerprint(t.table_oid::oid) || CASE WHEN custody.audit_key_holds(t.id) THEN ':k' ELSE ':' END
    FROM custody.auditing_trackedtable t WHERE t.id = tracked
);

-- What the capture remembers in settings of a transaction, any session could write there itself: a
-- number of its choice for its changes. So it is marked with a secret that only the console knows.

ALTER TABLE custody.auditing_numbering ADD COLUMN secret uuid NOT NULL DEFAULT gen_random_uuid();

-- Of a text, in this transaction.
CREATE FUNCTION custody.audit_mark(said text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (SELECT left(encode(sha256(convert_to(concat_ws(' ', n.secret, txid_current(), said), 'UTF8')), 'hex'), 24)
        FROM custody.auditing_numbering n);

-- As before, and marked. An entry of the flags is n<table>:<number>:<moment>:<mark>;
CREATE OR REPLACE FUNCTION custody.audit_reserved(flags text, relation oid)
RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT found.entry[2]::bigint
    FROM (SELECT regexp_match(flags, '(n' || relation || ':(\d+):' || extract(epoch FROM statement_timestamp()) || ':)([0-9a-f]+);') AS entry) found
    WHERE found.entry[3] = custody.audit_mark(found.entry[1])
);

CREATE OR REPLACE FUNCTION custody.audit_reserve(relation oid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    flags text := COALESCE(current_setting('custody.flags', true), '');
    entry text;
BEGIN
    IF custody.audit_reserved(flags, relation) IS NULL THEN
        entry := 'n' || relation || ':' || nextval('custody.audit_seq') || ':' || extract(epoch FROM statement_timestamp()) || ':';
        PERFORM set_config('custody.flags',
            regexp_replace(flags, 'n' || relation || ':[^;]*;', '', 'g') || entry || custody.audit_mark(entry) || ';', true);
    END IF;
END
$function$;

CREATE OR REPLACE FUNCTION custody.audit_row_statement(relation oid, operation text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    mark text := relation || ':' || operation || ':' || pg_trigger_depth() || ':'
        || extract(epoch FROM statement_timestamp()) || ':';
    said text := COALESCE(current_setting('custody.row_statement', true), '');
    found text;
BEGIN
    IF starts_with(said, mark) THEN
        -- A number that nobody marked is not even read.
        found := split_part(substr(said, length(mark) + 1), ':', 1);
        IF said = mark || found || ':' || custody.audit_mark(mark || found) THEN
            RETURN found;
        END IF;
    END IF;
    found := nextval('custody.audit_statement_seq');
    PERFORM set_config('custody.row_statement', mark || found || ':' || custody.audit_mark(mark || found), true);
    RETURN found;
END
$function$;

REVOKE ALL ON FUNCTION custody.audit_mark(text) FROM PUBLIC;

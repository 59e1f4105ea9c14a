-- The number of a transaction in the log. In a cluster into which the database was restored numbers
-- begin again; what is added to them keeps them rising.

CREATE TABLE custody.auditing_numbering (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    xid_offset bigint NOT NULL DEFAULT 0
);
INSERT INTO custody.auditing_numbering DEFAULT VALUES;

CREATE FUNCTION custody.audit_xid()
RETURNS bigint
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
RETURN pg_current_xact_id()::text::bigint + (SELECT n.xid_offset FROM custody.auditing_numbering n);

-- What is visible now, in the numbers of the log.
CREATE FUNCTION custody.audit_snapshot()
RETURNS pg_snapshot
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT format('%s:%s:%s',
        pg_snapshot_xmin(s.now)::text::bigint + n.xid_offset,
        pg_snapshot_xmax(s.now)::text::bigint + n.xid_offset,
        (SELECT string_agg((x::text::bigint + n.xid_offset)::text, ',' ORDER BY x)
         FROM pg_snapshot_xip(s.now) AS x))::pg_snapshot
    FROM custody.auditing_numbering n, pg_current_snapshot() AS s (now)
);

REVOKE ALL ON FUNCTION custody.audit_xid(), custody.audit_snapshot() FROM PUBLIC;

-- What tells the leaves of one number apart: 64 bits of the record id's SHA-256.
CREATE FUNCTION custody.audit_tag(record_id text)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
RETURN ('x' || substr(encode(sha256(convert_to(record_id, 'UTF8')), 'hex'), 1, 16))::bit(64)::bigint;

REVOKE ALL ON FUNCTION custody.audit_tag(text) FROM PUBLIC;

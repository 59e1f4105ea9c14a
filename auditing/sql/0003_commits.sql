-- Which transactions had changed something by a moment and committed only later. Most last less than
-- a minute, so they are found by when they committed; for the few that last longer there is an index
-- of their own. Where track_commit_timestamp is off, nobody knows, and a change counts when it is made.
CREATE INDEX IF NOT EXISTS transaction_long ON custody.auditing_changetransaction (committed_at)
    WHERE committed_at - first_at > interval '1 minute';

CREATE OR REPLACE FUNCTION custody.audit_open_at(moment timestamptz)
RETURNS SETOF bigint
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.xid
      FROM custody.auditing_changetransaction AS t
     WHERE t.committed_at > moment AND t.committed_at <= moment + interval '1 minute'
       AND t.first_at <= moment
    UNION
    SELECT t.xid
      FROM custody.auditing_changetransaction AS t
     WHERE t.committed_at > moment AND t.committed_at - t.first_at > interval '1 minute'
       AND t.first_at <= moment
$$;

REVOKE ALL ON FUNCTION custody.audit_open_at(timestamptz) FROM PUBLIC;
